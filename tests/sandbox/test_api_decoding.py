"""Bodies → objects: what is refused, in which words, and what is dropped; JSON, YAML and protobuf alike."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.sandbox.apiserver import decoding, protobuf
from rollcheck.sandbox.apiserver.fields import STRUCTS, Field, Shape, Type, struct_of
from rollcheck.sandbox.status import ApiFailure

DEPLOYMENT = ("apps/v1", "Deployment")


def decode(body: Any, media: str = "application/json", validation: str = "", kind: tuple[str, str] = DEPLOYMENT) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decoding.decode(data, media, *kind, validation)


def refused(body: Any, **options: Any) -> str:
    with pytest.raises(ApiFailure) as failure:
        decode(body, **options)
    assert failure.value.code == 400
    return failure.value.message


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"replicas": "x"}, "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ({"replicas": True}, "cannot unmarshal bool into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ({"replicas": 1.5}, "cannot unmarshal number 1.5 into"),
        ({"replicas": 1 << 31}, "cannot unmarshal number 2147483648 into"),
        ({"paused": 1}, "cannot unmarshal number into Go struct field DeploymentSpec.spec.paused of type bool"),
        (
            {"template": []},
            "cannot unmarshal array into Go struct field DeploymentSpec.spec.template of type v1.PodTemplateSpec",
        ),
        ({"selector": {"matchLabels": ["a"]}}, "of type map[string]string"),
        ({"template": {"spec": {"containers": {}}}}, "PodSpec.spec.template.spec.containers of type []v1.Container"),
        ({"template": {"spec": {"containers": [{"resources": {"limits": {"cpu": "x y"}}}]}}}, "quantities must match"),
        ({"template": {"metadata": {"creationTimestamp": "yesterday"}}}, 'parsing time "yesterday"'),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": {}}}},
            "RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge",
        ),
    ],
)
def test_a_wrong_type_is_refused_in_the_words_of_go(spec: dict[str, Any], words: str) -> None:
    message = refused({"spec": spec})
    assert message.startswith('Deployment in version "v1" cannot be handled as a Deployment: ')
    assert words in message


def test_broken_base64_in_a_secret_is_refused() -> None:
    assert "illegal base64" in refused({"data": {"a": "%%"}}, kind=("v1", "Secret"))


UNKNOWN = b'{"spec":{"foo":1,"replicas":1,"replicas":2,"template":{"spec":{"containers":[{"name":"a","bar":1}]}}}}'
DROPPED = [
    'unknown field "spec.foo"',
    'duplicate field "spec.replicas"',
    'unknown field "spec.template.spec.containers[0].bar"',
]


def test_unknown_and_doubled_fields_are_dropped_with_a_warning() -> None:
    obj, said = decode(UNKNOWN)
    assert said == DROPPED
    assert obj["spec"] == {"replicas": 2, "template": {"spec": {"containers": [{"name": "a"}]}}}


def test_unknown_fields_are_refused_when_the_client_wants_it() -> None:
    assert refused(UNKNOWN, validation="Strict").endswith(f"strict decoding error: {', '.join(DROPPED)}")


def test_unknown_fields_are_dropped_in_silence_when_the_client_wants_it() -> None:
    assert decode(UNKNOWN, validation="Ignore")[1] == []


def test_nulls_and_empty_lists_vanish_and_empty_structs_stay() -> None:
    volumes = [{"name": "v", "emptyDir": {}}]
    body = {
        "spec": {
            "replicas": None,
            "template": {"metadata": {"labels": {}}, "spec": {"volumes": volumes, "tolerations": []}},
        }
    }
    assert decode(body)[0]["spec"] == {"template": {"metadata": {}, "spec": {"volumes": volumes}}}


def test_numbers_are_taken_for_quantities() -> None:
    found, _ = decode({"spec": {"hard": 1}, "status": {"capacity": {"cpu": 2, "memory": "1Gi"}}}, kind=("v1", "Node"))
    assert found["status"]["capacity"] == {"cpu": "2", "memory": "1Gi"}


@pytest.mark.parametrize("media", ["application/yaml", "application/json"])
def test_a_body_that_says_no_kind_is_taken_for_the_one_expected(media: str) -> None:
    obj, _ = decode({"metadata": {"name": "a"}}, media=media)
    assert (obj["apiVersion"], obj["kind"]) == DEPLOYMENT


def test_yaml_is_read() -> None:
    assert decode(b"metadata: {name: a}\nspec:\n  replicas: 3\n", media="application/yaml")[0]["spec"] == {
        "replicas": 3
    }


@pytest.mark.parametrize(
    ("body", "media", "words"),
    [
        (b"{bad", "application/json", "couldn't get version/kind; json parse error"),
        (b"", "application/json", "must be of type Deployment"),
        (b"[]", "application/json", "array is no object"),
        (b"a: [1", "application/yaml", "yaml: "),
        (b'{"kind":"Pod","apiVersion":"v1"}', "application/json", "converting (v1.Pod) to (apps.Deployment)"),
        (b'{"kind":"Nonsense"}', "application/json", 'no kind "Nonsense" is registered'),
        (b"nonsense", "application/vnd.kubernetes.protobuf", "expected prefix"),
        (protobuf.MAGIC + b"\xff", "application/vnd.kubernetes.protobuf", "EOF"),
    ],
)
def test_what_is_no_such_object_is_refused(body: bytes, media: str, words: str) -> None:
    assert words in refused(body, media=media)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999"])
def test_what_is_no_number_of_json_is_refused(number: bytes) -> None:
    assert "is no number of JSON" in refused(b'{"spec":{"replicas":' + number + b"}}")


def test_half_a_surrogate_pair_is_replaced_so_that_it_can_be_written_again() -> None:
    body = b'{"metadata":{"annotations":{"a":"x\\ud800y","b":"\\ud83d\\ude00"}}}'
    found, _ = decode(body)
    assert found["metadata"]["annotations"] == {"a": "x\N{REPLACEMENT CHARACTER}y", "b": "\N{GRINNING FACE}"}


def test_a_body_nested_beyond_reason_is_refused() -> None:
    assert "max depth" in refused(b'{"a":' * 100_000)


def test_a_date_that_yaml_reads_as_such_is_the_text_it_was() -> None:
    body = b"metadata:\n  annotations: {at: 2026-01-01}\n"
    assert decode(body, media="application/yaml")[0]["metadata"]["annotations"] == {"at": "2026-01-01"}


def test_options_of_a_delete_are_checked_like_objects() -> None:
    with pytest.raises(decoding.Misfit, match=r"DeleteOptions\.preconditions of type v1\.Preconditions"):
        decoding.part({"preconditions": []}, "DeleteOptions")


def test_an_unknown_media_type_is_refused() -> None:
    with pytest.raises(ApiFailure) as failure:
        decode(b"x", media="text/plain")
    assert failure.value.code == 415


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(0x80 | number & 0x7F)
        number >>= 7
    return bytes((*out, number))


def tagged(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def encoded(field: Field, type_: Type, value: Any) -> bytes:
    """A field as Go's protobuf writes it."""
    *outer, number = field.number
    found = one(number, type_, value)
    for number in reversed(outer):
        found = tagged(number, found)
    return found


def one(number: int, type_: Type, value: Any) -> bytes:
    if type_.shape is Shape.LIST:
        return b"".join(one(number, type_.item, each) for each in value)
    if type_.shape is Shape.MAP:
        return b"".join(
            tagged(number, tagged(1, key.encode()) + one(2, type_.item, each)) for key, each in value.items()
        )
    if type_.shape is Shape.STRUCT:
        return tagged(number, message(type_, value))
    if type_.name in ("int32", "int64", "bool"):
        return varint(number << 3) + varint(int(value))
    if type_.name == "quantity":
        return tagged(number, tagged(1, value.encode()))
    if type_.name == "intstr":
        is_text = isinstance(value, str)
        return tagged(
            number, varint(8) + varint(is_text) + (tagged(3, value.encode()) if is_text else varint(16) + varint(value))
        )
    data = base64.b64decode(value) if type_.name == "bytes" else value.encode()
    return tagged(number, data)


def message(type_: Type, value: dict[str, Any]) -> bytes:
    fields = struct_of(type_).fields
    return b"".join(encoded(fields[key], fields[key].type, each) for key, each in value.items())


def wrapped(version: str, kind: str, obj: dict[str, Any]) -> bytes:
    meta = tagged(1, version.encode()) + tagged(2, kind.encode())
    return protobuf.MAGIC + tagged(1, meta) + tagged(2, message(Type(Shape.STRUCT, kind), obj))


names = st.text("abc", min_size=1, max_size=4)
pods = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries({"name": names, "labels": st.dictionaries(names, names, min_size=1)}),
        "spec": st.fixed_dictionaries(
            {
                "containers": st.lists(
                    st.fixed_dictionaries(
                        {
                            "name": names,
                            "args": st.lists(names, min_size=1),
                            "ports": st.lists(
                                st.fixed_dictionaries({"containerPort": st.integers(1, 65535)}), min_size=1
                            ),
                            "resources": st.fixed_dictionaries({"limits": st.just({"cpu": "100m"})}),
                            "readinessProbe": st.fixed_dictionaries(
                                {
                                    "httpGet": st.fixed_dictionaries({"port": st.one_of(names, st.integers(1, 9))}),
                                    "periodSeconds": st.integers(-(1 << 31), (1 << 31) - 1),
                                }
                            ),
                        }
                    ),
                    min_size=1,
                    max_size=2,
                ),
                "volumes": st.just(
                    [{"name": "v", "emptyDir": {}}, {"name": "c", "configMap": {"name": "x", "optional": True}}]
                ),
                "hostNetwork": st.just(True),
            }
        ),
    }
)


@settings(max_examples=25, deadline=None)
@given(pods)
def test_protobuf_says_the_same_as_json(pod: dict[str, Any]) -> None:
    assert protobuf.decode(wrapped("v1", "Pod", pod)) == {"apiVersion": "v1", "kind": "Pod", **pod}


def test_times_and_bytes_are_read_from_protobuf() -> None:
    secret = {"data": {"a": "aGk="}, "type": "Opaque"}
    assert protobuf.decode(wrapped("v1", "Secret", secret))["data"] == {"a": "aGk="}
    meta = tagged(1, tagged(8, varint(8) + varint(1767225600)))
    body = protobuf.MAGIC + tagged(1, tagged(1, b"v1") + tagged(2, b"Pod")) + tagged(2, meta)
    assert protobuf.decode(body)["metadata"] == {"creationTimestamp": "2026-01-01T00:00:00Z"}


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=40))
def test_broken_protobuf_is_told_as_such_and_nothing_else(data: bytes) -> None:
    head = protobuf.MAGIC + tagged(1, tagged(1, b"v1") + tagged(2, b"Pod"))
    try:
        decode(head + tagged(2, data), media="application/vnd.kubernetes.protobuf", kind=("v1", "Pod"))
    except ApiFailure as e:
        assert e.code == 400  # noqa: PT017


def test_no_two_fields_of_a_type_share_a_number() -> None:
    for struct in STRUCTS.values():
        numbers = [field.number for field in struct.fields.values() if field.number]
        assert len(numbers) == len(set(numbers)), struct.name
