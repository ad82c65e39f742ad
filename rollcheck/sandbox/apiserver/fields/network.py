"""Ingresses, EndpointSlices and Leases.

The language of these lines is told in `language.py`.
"""

from __future__ import annotations

TABLES = {
    "io.k8s.api.networking.v1": """
HTTPIngressPath: backend IngressBackend!#2, path string#1, pathType string!#3
HTTPIngressRuleValue: paths [HTTPIngressPath]!#1
Ingress kind: spec IngressSpec#2, status IngressStatus#3
IngressBackend: resource TypedLocalObjectReference#3, service IngressServiceBackend#4
IngressClass kind: spec IngressClassSpec#2
IngressClassParametersReference: apiGroup string#1, kind string!#2, name string!#3, namespace string#5, scope string#4
IngressClassSpec: controller string#1, parameters IngressClassParametersReference#2
IngressLoadBalancerIngress: hostname string#2, ip string#1, ports [IngressPortStatus]#4
IngressLoadBalancerStatus: ingress [IngressLoadBalancerIngress]#1
IngressPortStatus: error string#3, port int32!#1, protocol string!#2
IngressRule: host string#1, http HTTPIngressRuleValue#2.1
IngressServiceBackend: name string!#1, port ServiceBackendPort#2
IngressSpec: defaultBackend IngressBackend#1, ingressClassName string#4, rules [IngressRule]#3, tls [IngressTLS]#2
IngressStatus: loadBalancer IngressLoadBalancerStatus#1
IngressTLS: hosts [string]#1, secretName string#2
ServiceBackendPort atomic: name string#1, number int32#2
""",
    "io.k8s.api.discovery.v1": """
Endpoint: addresses [string]@set!#1, conditions EndpointConditions#2, deprecatedTopology {string}#5,
    hints EndpointHints#8, hostname string#3, nodeName string#6, targetRef ObjectReference#4, zone string#7
EndpointConditions: ready bool#1, serving bool#2, terminating bool#3
EndpointHints: forNodes [ForNode]#2, forZones [ForZone]#1
SliceEndpointPort atomic: appProtocol string#4, name string#1, port int32#3, protocol string#2
EndpointSlice kind: addressType string!#4, endpoints [Endpoint]!#2, ports [SliceEndpointPort]#3
ForNode: name string!#1
ForZone: name string!#1
""",
    "io.k8s.api.coordination.v1": """
Lease kind: spec LeaseSpec#2
LeaseSpec: acquireTime microtime#3, holderIdentity string#1, leaseDurationSeconds int32#2, leaseTransitions int32#5,
    preferredHolder string#7, renewTime microtime#4, strategy string#6
""",
}
