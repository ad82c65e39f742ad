"""HTTP around the registry: what lets kubectl, the official client and rollcheck's own observer use the sandbox.

    server      the listener: TLS or not on one port, one task a connection      wire    HTTP/1.1 itself
    routing     path → target      verbs, subresources, watching, reviews, discovery, openapi      what is answered
    decoding, protobuf      bodies → objects, told strictly when they do not fit
    patches, strategic, applying, managedfields, fieldsets      the four kinds of patch, and who owns which field
    tables, columns      what `kubectl get` prints
    fields/     the types of the API: the one source for the above
    kubeconfig, certificate      the way in

What belongs here: bytes and documents of the API's protocol. Not here: what a write means (defaults, validity, grace,
budgets): that is the registry's. Every refusal leaves as a metav1.Status; nothing is printed.
"""
