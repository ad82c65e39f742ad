"""HTTP around the registry: what lets kubectl, the official client and rollcheck's own observer use the sandbox.

    server      the listener: TLS or not on one port, one task a connection      wire    HTTP/1.1 itself
    routing     path → target      verbs, subresources, watching, reviews, discovery, openapi      what is answered
    decoding, protobuf      bodies → objects, told strictly when they do not fit
    patches, strategic, applying, managedfields, fieldsets      the four kinds of patch, and who owns which field
    tables, columns      what `kubectl get` prints
    fields/     the types of the API: the one source for the above
    kubeconfig, certificate      the way in      ownservice      the way in for pods: Service `kubernetes`

What belongs here: bytes and documents of the API's protocol. Not here: what a write means (defaults, validity, grace,
budgets): that is the registry's. Every refusal leaves as a metav1.Status; nothing is printed.

What differs from the real server, beside what the registry leaves out:

- It answers in JSON alone, uncompressed, over HTTP/1.1 (TLS or not on one port); it reads JSON, YAML and protobuf.
- managedFields tell of writes that came from outside; controllers and kubelets are not entered, and a write through
  `scale` is entered as one of the object.
- Pages of a list behind the first show the objects as they are by then, under the version of the first.
- One version a group: no autoscaling/v1 (`kubectl autoscale` before 1.33 wants it), no events.k8s.io. Not served are
  `exec`, `attach`, `portforward`, `proxy`, `ephemeralcontainers`, `resize`, `serviceaccounts/token`, `/metrics`, and
  the old `/watch/` paths.
- Whoever has the token may do everything; what is said of broken JSON is Python's wording, not Go's, and a patch that
  leads to a wrong type quotes the object with its keys in another order.
- Fields that Go leaves out when they are zero (false, 0, "") stay when a client sends them.
- OpenAPI has no descriptions; the v2 document in protobuf, which kubectl wants where v3 knows no such kind, is empty.
"""
