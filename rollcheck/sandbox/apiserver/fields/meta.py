"""What every object shares, and the reviews of one's own rights.

The language of these lines is told in `language.py`.
"""

from __future__ import annotations

TABLES = {
    "io.k8s.apimachinery.pkg.apis.meta.v1": """
Condition: lastTransitionTime time!#4, message string!#6, observedGeneration int64#3, reason string!#5,
    status string!#2, type string!#1
DeleteOptions: apiVersion string, dryRun [string]#5, gracePeriodSeconds int64#1,
    ignoreStoreReadErrorWithClusterBreakingPotential bool#6, kind string, orphanDependents bool#3,
    preconditions Preconditions#2, propagationPolicy string#4
FieldSelectorRequirement: key string!#1, operator string!#2, values [string]#3
LabelSelector atomic: matchExpressions [LabelSelectorRequirement]#2, matchLabels {string}#1
LabelSelectorRequirement: key string!#1, operator string!#2, values [string]#3
ManagedFieldsEntry: apiVersion string#3, fieldsType string#6, fieldsV1 any#7, manager string#1, operation string#2,
    subresource string#8, time time#4
ObjectMeta: annotations {string}#12, creationTimestamp time#8, deletionGracePeriodSeconds int64#10,
    deletionTimestamp time#9, finalizers [string]@set~#14, generateName string#2, generation int64#7,
    labels {string}#11, managedFields [ManagedFieldsEntry]#17, name string#1, namespace string#3,
    ownerReferences [OwnerReference]@uid~uid#13, resourceVersion string#6, selfLink string#4, uid string#5
OwnerReference atomic: apiVersion string!#5, blockOwnerDeletion bool#7, controller bool#6, kind string!#1,
    name string!#3, uid string!#4
Preconditions: resourceVersion string#2, uid string#1
""",
    "io.k8s.api.authorization.v1": """
FieldSelectorAttributes: rawSelector string#1, requirements [FieldSelectorRequirement]#2
LabelSelectorAttributes: rawSelector string#1, requirements [LabelSelectorRequirement]#2
NonResourceAttributes: path string#1, verb string#2
NonResourceRule: nonResourceURLs [string]#2, verbs [string]!#1
ResourceAttributes: fieldSelector FieldSelectorAttributes#8, group string#3, labelSelector LabelSelectorAttributes#9,
    name string#7, namespace string#1, resource string#5, subresource string#6, verb string#2, version string#4
ResourceRule: apiGroups [string]#2, resourceNames [string]#4, resources [string]#3, verbs [string]!#1
SelfSubjectAccessReview kind: spec SelfSubjectAccessReviewSpec!#2, status SubjectAccessReviewStatus#3
SelfSubjectAccessReviewSpec: nonResourceAttributes NonResourceAttributes#2, resourceAttributes ResourceAttributes#1
SelfSubjectRulesReview kind: spec SelfSubjectRulesReviewSpec!#2, status SubjectRulesReviewStatus#3
SelfSubjectRulesReviewSpec: namespace string#1
SubjectAccessReviewStatus: allowed bool!#1, denied bool#4, evaluationError string#3, reason string#2
SubjectRulesReviewStatus: evaluationError string#4, incomplete bool!#3, nonResourceRules [NonResourceRule]!#2,
    resourceRules [ResourceRule]!#1
""",
    "io.k8s.api.authentication.v1": """
SelfSubjectReview kind: status SelfSubjectReviewStatus#2
SelfSubjectReviewStatus: userInfo UserInfo#1
UserInfo: extra {[string]}#4, groups [string]#3, uid string#2, username string#1
""",
}
