"""Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs, budgets and autoscalers.

The language of these lines is told in `language.py`.
"""

from __future__ import annotations

TABLES = {
    "io.k8s.api.apps.v1": """
ControllerRevision kind: data any#2, revision int64!#3
DaemonSet kind: spec DaemonSetSpec#2, status DaemonSetStatus#3
DaemonSetCondition: lastTransitionTime time#3, message string#5, reason string#4, status string!#2, type string!#1
DaemonSetSpec: minReadySeconds int32#4, revisionHistoryLimit int32#6, selector LabelSelector!#1,
    template PodTemplateSpec!#2, updateStrategy DaemonSetUpdateStrategy#3
DaemonSetStatus: collisionCount int32#9, conditions [DaemonSetCondition]@type~type#10,
    currentNumberScheduled int32!#1, desiredNumberScheduled int32!#3, numberAvailable int32#7,
    numberMisscheduled int32!#2, numberReady int32!#4, numberUnavailable int32#8, observedGeneration int64#5,
    updatedNumberScheduled int32#6
DaemonSetUpdateStrategy: rollingUpdate RollingUpdateDaemonSet#2, type string#1
Deployment kind: spec DeploymentSpec#2, status DeploymentStatus#3
DeploymentCondition: lastTransitionTime time#7, lastUpdateTime time#6, message string#5, reason string#4,
    status string!#2, type string!#1
DeploymentSpec: minReadySeconds int32#5, paused bool#7, progressDeadlineSeconds int32#9, replicas int32#1,
    revisionHistoryLimit int32#6, selector LabelSelector!#2, strategy DeploymentStrategy~retainKeys#4,
    template PodTemplateSpec!#3
DeploymentStatus: availableReplicas int32#4, collisionCount int32#8, conditions [DeploymentCondition]@type~type#6,
    observedGeneration int64#1, readyReplicas int32#7, replicas int32#2, terminatingReplicas int32#9,
    unavailableReplicas int32#5, updatedReplicas int32#3
DeploymentStrategy: rollingUpdate RollingUpdateDeployment#2, type string#1
ReplicaSet kind: spec ReplicaSetSpec#2, status ReplicaSetStatus#3
ReplicaSetCondition: lastTransitionTime time#3, message string#5, reason string#4, status string!#2, type string!#1
ReplicaSetSpec: minReadySeconds int32#4, replicas int32#1, selector LabelSelector!#2, template PodTemplateSpec#3
ReplicaSetStatus: availableReplicas int32#5, conditions [ReplicaSetCondition]@type~type#6,
    fullyLabeledReplicas int32#2, observedGeneration int64#3, readyReplicas int32#4, replicas int32!#1,
    terminatingReplicas int32#7
RollingUpdateDaemonSet: maxSurge intstr#2, maxUnavailable intstr#1
RollingUpdateDeployment: maxSurge intstr#2, maxUnavailable intstr#1
RollingUpdateStatefulSetStrategy: maxUnavailable intstr#2, partition int32#1
StatefulSet kind: spec StatefulSetSpec#2, status StatefulSetStatus#3
StatefulSetCondition: lastTransitionTime time#3, message string#5, reason string#4, status string!#2, type string!#1
StatefulSetOrdinals: start int32#1
StatefulSetPersistentVolumeClaimRetentionPolicy: whenDeleted string#1, whenScaled string#2
StatefulSetSpec: minReadySeconds int32#9, ordinals StatefulSetOrdinals#11,
    persistentVolumeClaimRetentionPolicy StatefulSetPersistentVolumeClaimRetentionPolicy#10,
    podManagementPolicy string#6, replicas int32#1, revisionHistoryLimit int32#8, selector LabelSelector!#2,
    serviceName string#5, template PodTemplateSpec!#3, updateStrategy StatefulSetUpdateStrategy#7,
    volumeClaimTemplates [PersistentVolumeClaim]#4
StatefulSetStatus: availableReplicas int32#11, collisionCount int32#9, conditions [StatefulSetCondition]@type~type#10,
    currentReplicas int32#4, currentRevision string#6, observedGeneration int64#1, readyReplicas int32#3,
    replicas int32!#2, updateRevision string#7, updatedReplicas int32#5
StatefulSetUpdateStrategy: rollingUpdate RollingUpdateStatefulSetStrategy#2, type string#1
""",
    "io.k8s.api.batch.v1": """
Job kind: spec JobSpec#2, status JobStatus#3
JobCondition: lastProbeTime time#3, lastTransitionTime time#4, message string#6, reason string#5, status string!#2,
    type string!#1
JobSpec: activeDeadlineSeconds int64#3, backoffLimit int32#7, backoffLimitPerIndex int32#12, completionMode string#9,
    completions int32#2, managedBy string#15, manualSelector bool#5, maxFailedIndexes int32#13, parallelism int32#1,
    podFailurePolicy PodFailurePolicy#11, podReplacementPolicy string#14, selector LabelSelector#4,
    successPolicy SuccessPolicy#16, suspend bool#10, template PodTemplateSpec!#6, ttlSecondsAfterFinished int32#8
JobStatus: active int32#4, completedIndexes string#7, completionTime time#3, conditions [JobCondition]~type#1,
    failed int32#6, failedIndexes string#10, ready int32#9, startTime time#2, succeeded int32#5, terminating int32#11,
    uncountedTerminatedPods UncountedTerminatedPods#8
PodFailurePolicy: rules [PodFailurePolicyRule]!#1
PodFailurePolicyOnExitCodesRequirement: containerName string#1, operator string!#2, values [int32]@set!#3
PodFailurePolicyOnPodConditionsPattern: status string!#2, type string!#1
PodFailurePolicyRule: action string!#1, onExitCodes PodFailurePolicyOnExitCodesRequirement#2,
    onPodConditions [PodFailurePolicyOnPodConditionsPattern]#3
SuccessPolicy: rules [SuccessPolicyRule]!#1
SuccessPolicyRule: succeededCount int32#2, succeededIndexes string#1
UncountedTerminatedPods: failed [string]@set#2, succeeded [string]@set#1
""",
    "io.k8s.api.policy.v1": """
Eviction kind: deleteOptions DeleteOptions#2
PodDisruptionBudget kind: spec PodDisruptionBudgetSpec#2, status PodDisruptionBudgetStatus#3
PodDisruptionBudgetSpec: maxUnavailable intstr#3, minAvailable intstr#1, selector LabelSelector~replace#2,
    unhealthyPodEvictionPolicy string#4
PodDisruptionBudgetStatus: conditions [Condition]@type~type#7, currentHealthy int32!#4, desiredHealthy int32!#5,
    disruptedPods {time}#2, disruptionsAllowed int32!#3, expectedPods int32!#6, observedGeneration int64#1
""",
    "io.k8s.api.autoscaling.v1": """
Scale kind: spec ScaleSpec#2, status ScaleStatus#3
ScaleSpec: replicas int32#1
ScaleStatus: replicas int32!#1, selector string#2
""",
    "io.k8s.api.autoscaling.v2": """
ContainerResourceMetricSource: container string!#3, name string!#1, target MetricTarget!#2
ContainerResourceMetricStatus: container string!#3, current MetricValueStatus!#2, name string!#1
CrossVersionObjectReference: apiVersion string#3, kind string!#1, name string!#2
ExternalMetricSource: metric MetricIdentifier!#1, target MetricTarget!#2
ExternalMetricStatus: current MetricValueStatus!#2, metric MetricIdentifier!#1
HPAScalingPolicy: periodSeconds int32!#3, type string!#1, value int32!#2
HPAScalingRules: policies [HPAScalingPolicy]#2, selectPolicy string#1, stabilizationWindowSeconds int32#3,
    tolerance quantity#4
HorizontalPodAutoscaler kind: spec HorizontalPodAutoscalerSpec#2, status HorizontalPodAutoscalerStatus#3
HorizontalPodAutoscalerBehavior: scaleDown HPAScalingRules#2, scaleUp HPAScalingRules#1
HorizontalPodAutoscalerCondition: lastTransitionTime time#3, message string#5, reason string#4, status string!#2,
    type string!#1
HorizontalPodAutoscalerSpec: behavior HorizontalPodAutoscalerBehavior#5, maxReplicas int32!#3, metrics [MetricSpec]#4,
    minReplicas int32#2, scaleTargetRef CrossVersionObjectReference!#1
HorizontalPodAutoscalerStatus: conditions [HorizontalPodAutoscalerCondition]@type~type#6,
    currentMetrics [MetricStatus]#5, currentReplicas int32#3, desiredReplicas int32!#4, lastScaleTime time#2,
    observedGeneration int64#1
MetricIdentifier: name string!#1, selector LabelSelector#2
MetricSpec: containerResource ContainerResourceMetricSource#7, external ExternalMetricSource#5,
    object ObjectMetricSource#2, pods PodsMetricSource#3, resource ResourceMetricSource#4, type string!#1
MetricStatus: containerResource ContainerResourceMetricStatus#7, external ExternalMetricStatus#5,
    object ObjectMetricStatus#2, pods PodsMetricStatus#3, resource ResourceMetricStatus#4, type string!#1
MetricTarget: averageUtilization int32#4, averageValue quantity#3, type string!#1, value quantity#2
MetricValueStatus: averageUtilization int32#3, averageValue quantity#2, value quantity#1
ObjectMetricSource: describedObject CrossVersionObjectReference!#1, metric MetricIdentifier!#3, target MetricTarget!#2
ObjectMetricStatus: current MetricValueStatus!#2, describedObject CrossVersionObjectReference!#3,
    metric MetricIdentifier!#1
PodsMetricSource: metric MetricIdentifier!#1, target MetricTarget!#2
PodsMetricStatus: current MetricValueStatus!#2, metric MetricIdentifier!#1
ResourceMetricSource: name string!#1, target MetricTarget!#2
ResourceMetricStatus: current MetricValueStatus!#2, name string!#1
""",
}
