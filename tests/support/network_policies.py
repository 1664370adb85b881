"""Evaluate NetworkPolicies as Kubernetes does."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Object = dict[str, Any]
HERE = "kubeflow"


@dataclass(frozen=True)
class Peer:
    """A pod, by default in the namespace of the policies; with an address, an external host."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = HERE
    marks: Mapping[str, str] = field(default_factory=dict)  # labels of its namespace
    address: str | None = None

    @property
    def here(self) -> bool:
        return self.namespace == HERE and self.address is None


def may(policies: Iterable[Object], source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Return whether policies allow a connection."""
    all_policies = list(policies)
    return _side(all_policies, "Egress", source, target, port, protocol) and _side(
        all_policies, "Ingress", target, source, port, protocol
    )


def _side(policies: list[Object], way: str, pod: Peer, peer: Peer, port: int, protocol: str) -> bool:
    """Return whether a pod's policies of one direction allow a peer; without policies, everything is allowed."""
    mine = [p["spec"] for p in policies if way in p["spec"]["policyTypes"] and pod.here]
    mine = [spec for spec in mine if selects(spec["podSelector"], pod.labels)]
    rules = [rule for spec in mine for rule in spec.get(way.lower(), [])]
    return not mine or any(_allows(rule, "to" if way == "Egress" else "from", peer, port, protocol) for rule in rules)


def _allows(rule: Object, side: str, peer: Peer, port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    if ports is not None and {"protocol": protocol, "port": port} not in ports:
        return False
    return side not in rule or any(_is(entry, peer) for entry in rule[side])


def _is(entry: Object, peer: Peer) -> bool:
    if "ipBlock" in entry:  # external hosts only; network plugins differ for pods
        return peer.address is not None and ip_address(peer.address) in ip_network(entry["ipBlock"]["cidr"])
    if peer.address is not None:
        return False
    if "namespaceSelector" in entry:
        marks = {"kubernetes.io/metadata.name": peer.namespace, **peer.marks}
        if not selects(entry["namespaceSelector"], marks):
            return False
    elif not peer.here:
        return False
    return selects(entry.get("podSelector", {}), peer.labels)


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector matches these labels."""
    assert set(selector) <= {"matchLabels", "matchExpressions"}, selector
    required = selector.get("matchLabels", {})
    expressions = selector.get("matchExpressions", [])
    assert all(expression["operator"] == "In" for expression in expressions), selector
    return all(labels.get(key) == value for key, value in required.items()) and all(
        labels.get(expression["key"]) in expression["values"] for expression in expressions
    )
