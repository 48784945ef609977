"""Kerberos at HDFS for Spark's jobs.

With `local[*]` and on YARN Spark logs in from the keytab and renews by itself. A standalone master
knows nothing of Kerberos: there the driver starts what Spark starts on YARN, which logs in, gives
every executor a token of HDFS, and new ones in time.
"""

import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from clickstream.clients import endpoints, kerberos
from clickstream.errors import ServiceFailed, UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from clickstream.config import Settings

STARTING_S = 15
"""An executor that asked for what it needs before there were tokens is there in this time."""


def conf(settings: "Settings") -> dict[str, str]:
    """The properties of a job; raises NotRunning where tokens are needed, and HDFS is not known."""
    if not kerberos.on(settings):
        return {}
    told = {
        "spark.kerberos.principal": settings.hdfs.principal,
        "spark.kerberos.keytab": str(settings.files.configured(settings.hdfs.keytab)),
    }
    if not settings.spark.master.startswith("local"):
        told["spark.kerberos.access.hadoopFileSystems"] = endpoints.hdfs_url(settings)
    if _standalone(settings):
        # A worker knows nothing of HDFS, nor of how its DataNodes protect what they send.
        told |= {f"spark.executorEnv.{key}": at for key, at in environment(settings).items()}
    options = " ".join(java_options(settings))
    if options and not settings.spark.master.startswith("local"):
        told |= {f"spark.{each}.extraJavaOptions": options for each in ("yarn.am", "executor")}
    return told


def java_options(settings: "Settings") -> tuple[str, ...]:
    """Of the driver; on a cluster of executors, too."""
    return tuple(f'"{option}"' for option in kerberos.java_options(settings))


def environment(settings: "Settings") -> dict[str, str]:
    """Of the driver: the cluster's own configuration says how HDFS and YARN are spoken to."""
    directory = kerberos.conf_dir(settings)
    return {kerberos.CONF_DIR: str(directory)} if directory else {}


def refuse_stream(settings: "Settings", checkpoint: str) -> None:
    """Raise UsageError for a stream on a standalone master whose checkpoint such an HDFS has.

    Its executors have tokens and no login, and a token ends after a week; a job of the batch layer
    has ended by then.
    """
    if _standalone(settings) and urlsplit(checkpoint).scheme == "hdfs":
        raise UsageError(
            "on a standalone master a stream cannot keep its checkpoint in an HDFS with Kerberos:"
            " tokens of HDFS end after a week",
            "run it with spark.master = yarn, or local[*]",
        )


def give_tokens(session: "SparkSession", settings: "Settings") -> None:
    """On a standalone master: give executors tokens, for as long as the driver lives.

    Raises ServiceFailed where the login or HDFS refuses them.
    """
    if not _standalone(settings):
        return
    context = session.sparkContext
    assert context._jvm is not None
    scala = context._jsc.sc()
    backend = scala.schedulerBackend()
    manager = context._jvm.org.apache.spark.deploy.security.HadoopDelegationTokenManager(
        scala.conf(), scala.hadoopConfiguration(), backend.driverEndpoint()
    )
    tokens = manager.start()
    if tokens is None:
        raise ServiceFailed(
            f"{settings.hdfs.principal} gets no token of HDFS for the executors",
            "the driver's log says why",
        )
    give = threading.Thread(target=_give, args=(backend, tokens), daemon=True)
    backend.updateDelegationTokens(tokens)
    give.start()


def _standalone(settings: "Settings") -> bool:
    return kerberos.on(settings) and settings.spark.master.startswith("spark:")


def _give(backend: Any, tokens: bytes) -> None:
    """Again while executors start: one of them may have asked before there were any."""
    deadline = time.monotonic() + STARTING_S
    while time.monotonic() < deadline:
        time.sleep(1)
        backend.updateDelegationTokens(tokens)
