import java.io.File;
import org.apache.kerby.kerberos.kerb.identity.IdentityService;
import org.apache.kerby.kerberos.kerb.keytab.Keytab;
import org.apache.kerby.kerberos.kerb.keytab.KeytabEntry;
import org.apache.kerby.kerberos.kerb.request.KrbIdentity;
import org.apache.kerby.kerberos.kerb.server.KdcConfigKey;
import org.apache.kerby.kerberos.kerb.server.SimpleKdcServer;
import org.apache.kerby.kerberos.kerb.type.base.PrincipalName;

/**
 * A KDC whose principals and keys are those of a keytab, its own krbtgt among them: a ticket outlives it.
 *
 * Kdc REALM PORT KEYTAB DIRECTORY SECONDS: how long a ticket lives at most. Kerby keeps principals
 * in memory alone. Compiled at each start, by a compiler that knows no type parameters.
 */
public class Kdc {
    public static void main(String[] given) throws Exception {
        SimpleKdcServer kdc = new SimpleKdcServer();
        kdc.setKdcHost("127.0.0.1");
        kdc.setKdcRealm(given[0]);
        kdc.setKdcTcpPort(Integer.parseInt(given[1]));
        kdc.setAllowUdp(false);
        kdc.setWorkDir(new File(given[3]));
        kdc.getKdcConfig().setString(KdcConfigKey.ENCRYPTION_TYPES, "aes256-cts-hmac-sha1-96");
        kdc.getKdcConfig().setLong(KdcConfigKey.MAXIMUM_TICKET_LIFETIME, Long.valueOf(given[4]));
        kdc.init();
        learn(kdc.getIdentityService(), Keytab.loadKeytab(new File(given[2])));
        kdc.start();
    }

    private static void learn(IdentityService known, Keytab keytab) throws Exception {
        for (Object each : keytab.getPrincipals()) {
            PrincipalName name = (PrincipalName) each;
            KrbIdentity identity = new KrbIdentity(name.getName());
            for (Object entry : keytab.getKeytabEntries(name)) {
                identity.addKey(((KeytabEntry) entry).getKey());
            }
            if (known.getIdentity(name.getName()) == null) {
                known.addIdentity(identity);
            } else {
                known.updateIdentity(identity);
            }
        }
    }
}
