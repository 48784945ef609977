"""What a job is told of Kerberos, master by master; without a JVM."""

import json
from types import SimpleNamespace

import pytest

from clickstream import config
from clickstream.errors import UsageError
from clickstream.spark import kerberos, submit

PRINCIPAL = "clickstream@EXAMPLE.ORG"
JOB = submit.Job("batch", "clickstream.batch.job", {})


@pytest.fixture
def settings(tmp_path):
    flags = {
        "hdfs.url": "hdfs://nn:8020",
        "hdfs.principal": PRINCIPAL,
        "hdfs.keytab": "a.keytab",
        "hdfs.conf_dir": "/etc/hadoop/conf",
        "hdfs.krb5_conf": "krb5.conf",
    }
    return lambda **more: config.load(
        home=tmp_path, flags=flags | {key.replace("__", "."): each for key, each in more.items()}
    )


@pytest.mark.parametrize("master", ["local[*]", "spark://host:7077", "yarn"])
def test_every_driver_has_the_login_and_the_realm(settings, tmp_path, master):
    values = submit.conf(settings(spark__master=master), JOB, tmp_path)
    assert values["spark.kerberos.principal"] == PRINCIPAL
    assert values["spark.kerberos.keytab"] == str(tmp_path / "a.keytab")
    realm = f'"-Djava.security.krb5.conf={tmp_path}/krb5.conf"'
    assert realm in values["spark.driver.extraJavaOptions"].split(" ")
    elsewhere = {f"spark.{each}.extraJavaOptions": realm for each in ("yarn.am", "executor")}
    assert (elsewhere.items() <= values.items()) == (master != "local[*]")
    told = values.get("spark.executorEnv.HADOOP_CONF_DIR")
    assert told == ("/etc/hadoop/conf" if master.startswith("spark") else None)
    accessed = values.get("spark.kerberos.access.hadoopFileSystems")
    assert accessed == (None if master.startswith("local") else "hdfs://nn:8020")


def test_a_driver_finds_the_clusters_configuration(settings):
    assert kerberos.environment(settings()) == {"HADOOP_CONF_DIR": "/etc/hadoop/conf"}


def test_options_of_ones_own_stand_beside_the_realm(settings, tmp_path):
    own = {"spark.executor.extraJavaOptions": "-Xss2m"}
    there = settings(spark__master="yarn", spark__conf=json.dumps(own))
    values = submit.conf(there, JOB, tmp_path)
    realm = f'"-Djava.security.krb5.conf={tmp_path}/krb5.conf"'
    assert values["spark.executor.extraJavaOptions"] == f"{realm} -Xss2m"
    assert values["spark.yarn.am.extraJavaOptions"] == realm


def test_without_kerberos_a_job_is_told_of_no_login(tmp_path, monkeypatch):
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    plain = config.load(home=tmp_path)
    assert kerberos.conf(plain) == kerberos.environment(plain) == {}
    assert kerberos.java_options(plain) == ()
    on_yarn = config.load(home=tmp_path, flags={"hdfs.conf_dir": "/etc/hadoop/conf"})
    assert kerberos.environment(on_yarn) == {"HADOOP_CONF_DIR": "/etc/hadoop/conf"}


@pytest.mark.parametrize("master", ["local[*]", "yarn"])
def test_tokens_are_given_on_a_standalone_master_alone(settings, master):
    kerberos.give_tokens(SimpleNamespace(), settings(spark__master=master))


def test_a_stream_with_its_checkpoint_in_hdfs_is_refused_on_a_standalone_master(settings, tmp_path):
    alone = settings(spark__master="spark://host:7077")
    with pytest.raises(UsageError, match="tokens of HDFS end") as refused:
        kerberos.refuse_stream(alone, "hdfs://nn:8020/checkpoint")
    assert "yarn" in refused.value.hint
    kerberos.refuse_stream(alone, "file:/checkpoint")
    kerberos.refuse_stream(settings(spark__master="yarn"), "hdfs://nn:8020/checkpoint")
    plain = config.load(home=tmp_path, flags={"spark.master": "spark://host:7077"})
    kerberos.refuse_stream(plain, "hdfs://nn:8020/checkpoint")
