"""Connection settings as the clients get them; what goes over the wire is in test_kafka_tls.py."""

from pathlib import Path

import faust
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from pydantic import SecretStr

from limelight.streams.faust_app import make_app
from limelight.streams.kafka import connection_options
from limelight.streams.settings import KafkaSettings


def sasl(protocol: str, **changes: str) -> KafkaSettings:
    return KafkaSettings(
        security_protocol=protocol,
        sasl_username="limelight",
        sasl_password=SecretStr("hidden"),
        **{"sasl_mechanism": "SCRAM-SHA-512", **changes},
    )


def test_plain_text_needs_neither_certificate_nor_user() -> None:
    options = connection_options(KafkaSettings(bootstrap_servers="a:1,b:2"))
    assert options == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
    }


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_user_password_and_mechanism_reach_the_clients_and_faust(protocol, tmp_path) -> None:
    settings = sasl(protocol)
    options = connection_options(settings)
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == (
        "limelight",
        "hidden",
    )
    credentials = make_app(settings, tmp_path).conf.broker_credentials
    assert isinstance(credentials, faust.SASLCredentials)
    assert (credentials.username, credentials.password) == ("limelight", "hidden")
    assert credentials.mechanism.value == "SCRAM-SHA-512"
    assert credentials.protocol.value == protocol
    for context in (options["ssl_context"], credentials.ssl_context):
        assert (context is not None) == (protocol == "SASL_SSL")
        assert context is None or context.check_hostname


@pytest.mark.parametrize("name", ["ssl_ca_file", "ssl_cert_file", "ssl_key_file"])
def test_a_tls_file_that_is_not_there_is_named(name: str) -> None:
    settings = KafkaSettings(security_protocol="SSL", **{name: "nowhere.pem"})
    with pytest.raises(ValueError, match=rf"kafka\.{name}: found no file nowhere\.pem"):
        connection_options(settings)


def test_tls_files_that_hold_no_certificate_are_refused(tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    settings = KafkaSettings(security_protocol="SSL", ssl_ca_file=str(junk))
    with pytest.raises(ValueError, match=r"OpenSSL refuses \(ssl_ca_file .*junk\.pem"):
        connection_options(settings)


def test_an_encrypted_key_is_refused_instead_of_asking_for_its_password(tmp_path: Path) -> None:
    client = trustme.CA().issue_cert("client.example")
    plain = serialization.load_pem_private_key(client.private_key_pem.bytes(), None)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    key.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"a password"),
        )
    )
    client.cert_chain_pems[0].write_to_path(certificate)
    settings = KafkaSettings(
        security_protocol="SSL", ssl_cert_file=str(certificate), ssl_key_file=str(key)
    )
    with pytest.raises(ValueError, match="expected PEM, the key unencrypted"):
        connection_options(settings)
