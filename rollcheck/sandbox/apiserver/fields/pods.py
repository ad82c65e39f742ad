"""Pods and all that lies inside them.

The language of these lines is told in `language.py`.
"""

from __future__ import annotations

TABLES = {
    "io.k8s.api.core.v1": """
Affinity: nodeAffinity NodeAffinity#1, podAffinity PodAffinity#2, podAntiAffinity PodAntiAffinity#3
AppArmorProfile: localhostProfile string#2, type string!#1
Binding kind: target ObjectReference!#2
CSIVolumeSource: driver string!#1, fsType string#3, nodePublishSecretRef LocalObjectReference#5, readOnly bool#2,
    volumeAttributes {string}#4
Capabilities: add [string]#1, drop [string]#2
ClusterTrustBundleProjection: labelSelector LabelSelector#3, name string#1, optional bool#5, path string!#4,
    signerName string#2
ConfigMapEnvSource: name string#1.1, optional bool#2
ConfigMapKeySelector atomic: key string!#2, name string#1.1, optional bool#3
ConfigMapProjection: items [KeyToPath]#2, name string#1.1, optional bool#4
ConfigMapVolumeSource: defaultMode int32#3, items [KeyToPath]#2, name string#1.1, optional bool#4
Container: args [string]#4, command [string]#3, env [EnvVar]@name~name#7, envFrom [EnvFromSource]#19, image string#2,
    imagePullPolicy string#14, lifecycle Lifecycle#12, livenessProbe Probe#10, name string!#1,
    ports [ContainerPort]@containerPort+protocol~containerPort#6, readinessProbe Probe#11,
    resizePolicy [ContainerResizePolicy]#23, resources ResourceRequirements#8, restartPolicy string#24,
    restartPolicyRules [ContainerRestartRule]#25, securityContext SecurityContext#15, startupProbe Probe#22,
    stdin bool#16, stdinOnce bool#17, terminationMessagePath string#13, terminationMessagePolicy string#20,
    tty bool#18, volumeDevices [VolumeDevice]@devicePath~devicePath#21,
    volumeMounts [VolumeMount]@mountPath~mountPath#9, workingDir string#5
ContainerExtendedResourceRequest: containerName string!#1, requestName string!#3, resourceName string!#2
ContainerPort: containerPort int32!#3, hostIP string#5, hostPort int32#2, name string#1, protocol string=TCP#4
ContainerResizePolicy: resourceName string!#1, restartPolicy string!#2
ContainerRestartRule: action string!#1, exitCodes ContainerRestartRuleOnExitCodes#2
ContainerRestartRuleOnExitCodes: operator string!#1, values [int32]@set#2
ContainerState: running ContainerStateRunning#2, terminated ContainerStateTerminated#3,
    waiting ContainerStateWaiting#1
ContainerStateRunning: startedAt time#1
ContainerStateTerminated: containerID string#7, exitCode int32!#1, finishedAt time#6, message string#4,
    reason string#3, signal int32#2, startedAt time#5
ContainerStateWaiting: message string#2, reason string#1
ContainerStatus: allocatedResources {quantity}#10, allocatedResourcesStatus [ResourceStatus]@name~name#14,
    containerID string#8, image string!#6, imageID string!#7, lastState ContainerState#3, name string!#1,
    ready bool!#4, resources ResourceRequirements#11, restartCount int32!#5, started bool#9, state ContainerState#2,
    stopSignal string#15, user ContainerUser#13, volumeMounts [VolumeMountStatus]@mountPath~mountPath#12
ContainerUser: linux LinuxContainerUser#1
DownwardAPIProjection: items [DownwardAPIVolumeFile]#1
DownwardAPIVolumeFile: fieldRef ObjectFieldSelector#2, mode int32#4, path string!#1,
    resourceFieldRef ResourceFieldSelector#3
DownwardAPIVolumeSource: defaultMode int32#2, items [DownwardAPIVolumeFile]#1
EmptyDirVolumeSource: medium string#1, sizeLimit quantity#2
EnvFromSource: configMapRef ConfigMapEnvSource#2, prefix string#1, secretRef SecretEnvSource#3
EnvVar: name string!#1, value string#2, valueFrom EnvVarSource#3
EnvVarSource: configMapKeyRef ConfigMapKeySelector#3, fieldRef ObjectFieldSelector#1, fileKeyRef FileKeySelector#5,
    resourceFieldRef ResourceFieldSelector#2, secretKeyRef SecretKeySelector#4
EphemeralContainer: args [string]#1.4, command [string]#1.3, env [EnvVar]@name~name#1.7, envFrom [EnvFromSource]#1.19,
    image string#1.2, imagePullPolicy string#1.14, lifecycle Lifecycle#1.12, livenessProbe Probe#1.10,
    name string!#1.1, ports [ContainerPort]@containerPort+protocol~containerPort#1.6, readinessProbe Probe#1.11,
    resizePolicy [ContainerResizePolicy]#1.23, resources ResourceRequirements#1.8, restartPolicy string#1.24,
    restartPolicyRules [ContainerRestartRule]#1.25, securityContext SecurityContext#1.15, startupProbe Probe#1.22,
    stdin bool#1.16, stdinOnce bool#1.17, targetContainerName string#2, terminationMessagePath string#1.13,
    terminationMessagePolicy string#1.20, tty bool#1.18, volumeDevices [VolumeDevice]@devicePath~devicePath#1.21,
    volumeMounts [VolumeMount]@mountPath~mountPath#1.9, workingDir string#1.5
EphemeralVolumeSource: volumeClaimTemplate PersistentVolumeClaimTemplate#1
ExecAction: command [string]#1
FileKeySelector atomic: key string!#3, optional bool#4, path string!#2, volumeName string!#1
GRPCAction: port int32!#1, service string#2
HTTPGetAction: host string#3, httpHeaders [HTTPHeader]#5, path string#1, port intstr!#2, scheme string#4
HTTPHeader: name string!#1, value string!#2
HostAlias: hostnames [string]#2, ip string!#1
HostIP: ip string!#1
HostPathVolumeSource: path string!#1, type string#2
ImageVolumeSource: pullPolicy string#2, reference string#1
KeyToPath: key string!#1, mode int32#3, path string!#2
Lifecycle: postStart LifecycleHandler#1, preStop LifecycleHandler#2, stopSignal string#3
LifecycleHandler: exec ExecAction#1, httpGet HTTPGetAction#2, sleep SleepAction#4, tcpSocket TCPSocketAction#3
LinuxContainerUser: gid int64!#2, supplementalGroups [int64]#3, uid int64!#1
LocalObjectReference atomic: name string#1
NFSVolumeSource: path string!#2, readOnly bool#3, server string!#1
NodeAffinity: preferredDuringSchedulingIgnoredDuringExecution [PreferredSchedulingTerm]#2,
    requiredDuringSchedulingIgnoredDuringExecution NodeSelector#1
NodeSelector atomic: nodeSelectorTerms [NodeSelectorTerm]!#1
NodeSelectorRequirement: key string!#1, operator string!#2, values [string]#3
NodeSelectorTerm atomic: matchExpressions [NodeSelectorRequirement]#1, matchFields [NodeSelectorRequirement]#2
ObjectFieldSelector atomic: apiVersion string#1, fieldPath string!#2
PersistentVolumeClaimSpec: accessModes [string]#1, dataSource TypedLocalObjectReference#7,
    dataSourceRef TypedObjectReference#8, resources VolumeResourceRequirements#2, selector LabelSelector#4,
    storageClassName string#5, volumeAttributesClassName string#9, volumeMode string#6, volumeName string#3
PersistentVolumeClaimTemplate: metadata ObjectMeta#1, spec PersistentVolumeClaimSpec!#2
PersistentVolumeClaimVolumeSource: claimName string!#1, readOnly bool#2
Pod kind: spec PodSpec#2, status PodStatus#3
PodAffinity: preferredDuringSchedulingIgnoredDuringExecution [WeightedPodAffinityTerm]#2,
    requiredDuringSchedulingIgnoredDuringExecution [PodAffinityTerm]#1
PodAffinityTerm: labelSelector LabelSelector#1, matchLabelKeys [string]#5, mismatchLabelKeys [string]#6,
    namespaceSelector LabelSelector#4, namespaces [string]#2, topologyKey string!#3
PodAntiAffinity: preferredDuringSchedulingIgnoredDuringExecution [WeightedPodAffinityTerm]#2,
    requiredDuringSchedulingIgnoredDuringExecution [PodAffinityTerm]#1
PodCertificateProjection: certificateChainPath string#6, credentialBundlePath string#4, keyPath string#5,
    keyType string!#2, maxExpirationSeconds int32#3, signerName string!#1
PodCondition: lastProbeTime time#3, lastTransitionTime time#4, message string#6, observedGeneration int64#7,
    reason string#5, status string!#2, type string!#1
PodDNSConfig: nameservers [string]#1, options [PodDNSConfigOption]#3, searches [string]#2
PodDNSConfigOption: name string#1, value string#2
PodExtendedResourceClaimStatus: requestMappings [ContainerExtendedResourceRequest]!#1, resourceClaimName string!#2
PodIP: ip string!#1
PodOS: name string!#1
PodReadinessGate: conditionType string!#1
PodResourceClaim: name string!#1, resourceClaimName string#3, resourceClaimTemplateName string#4
PodResourceClaimStatus: name string!#1, resourceClaimName string#2
PodSchedulingGate: name string!#1
PodSecurityContext: appArmorProfile AppArmorProfile#11, fsGroup int64#5, fsGroupChangePolicy string#9,
    runAsGroup int64#6, runAsNonRoot bool#3, runAsUser int64#2, seLinuxChangePolicy string#13,
    seLinuxOptions SELinuxOptions#1, seccompProfile SeccompProfile#10, supplementalGroups [int64]#4,
    supplementalGroupsPolicy string#12, sysctls [Sysctl]#7, windowsOptions WindowsSecurityContextOptions#8
PodSpec: activeDeadlineSeconds int64#5, affinity Affinity#18, automountServiceAccountToken bool#21,
    containers [Container]@name~name!#2, dnsConfig PodDNSConfig#26, dnsPolicy string#6, enableServiceLinks bool#30,
    ephemeralContainers [EphemeralContainer]@name~name#34, hostAliases [HostAlias]@ip~ip#23, hostIPC bool#13,
    hostNetwork bool#11, hostPID bool#12, hostUsers bool#37, hostname string#16, hostnameOverride string#41,
    imagePullSecrets [LocalObjectReference]@name~name#15, initContainers [Container]@name~name#20, nodeName string#10,
    nodeSelector {string}@atomic#7, os PodOS#36, overhead {quantity}#32, preemptionPolicy string#31,
    priority int32#25, priorityClassName string#24, readinessGates [PodReadinessGate]#28,
    resourceClaims [PodResourceClaim]@name~name+retainKeys#39, resources ResourceRequirements#40,
    restartPolicy string#3, runtimeClassName string#29, schedulerName string#19,
    schedulingGates [PodSchedulingGate]@name~name#38, securityContext PodSecurityContext#14, serviceAccount string#9,
    serviceAccountName string#8, setHostnameAsFQDN bool#35, shareProcessNamespace bool#27, subdomain string#17,
    terminationGracePeriodSeconds int64#4, tolerations [Toleration]#22,
    topologySpreadConstraints [TopologySpreadConstraint]@topologyKey+whenUnsatisfiable~topologyKey#33,
    volumes [Volume]@name~name+retainKeys#1
PodStatus: conditions [PodCondition]@type~type#2, containerStatuses [ContainerStatus]#8,
    ephemeralContainerStatuses [ContainerStatus]#13, extendedResourceClaimStatus PodExtendedResourceClaimStatus#18,
    hostIP string#5, hostIPs [HostIP]~ip#16, initContainerStatuses [ContainerStatus]#10, message string#3,
    nominatedNodeName string#11, observedGeneration int64#17, phase string#1, podIP string#6, podIPs [PodIP]@ip~ip#12,
    qosClass string#9, reason string#4, resize string#14,
    resourceClaimStatuses [PodResourceClaimStatus]@name~name+retainKeys#15, startTime time#7
PodTemplateSpec: metadata ObjectMeta#1, spec PodSpec#2
PreferredSchedulingTerm: preference NodeSelectorTerm!#2, weight int32!#1
Probe: exec ExecAction#1.1, failureThreshold int32#6, grpc GRPCAction#1.4, httpGet HTTPGetAction#1.2,
    initialDelaySeconds int32#2, periodSeconds int32#4, successThreshold int32#5, tcpSocket TCPSocketAction#1.3,
    terminationGracePeriodSeconds int64#7, timeoutSeconds int32#3
ProjectedVolumeSource: defaultMode int32#2, sources [VolumeProjection]#1
ResourceClaim: name string!#1, request string#2
ResourceFieldSelector atomic: containerName string#1, divisor quantity#3, resource string!#2
ResourceHealth: health string#2, resourceID string!#1
ResourceRequirements: claims [ResourceClaim]@name#3, limits {quantity}#1, requests {quantity}#2
ResourceStatus: name string!#1, resources [ResourceHealth]@resourceID#2
SELinuxOptions: level string#4, role string#2, type string#3, user string#1
SeccompProfile: localhostProfile string#2, type string!#1
SecretEnvSource: name string#1.1, optional bool#2
SecretKeySelector atomic: key string!#2, name string#1.1, optional bool#3
SecretProjection: items [KeyToPath]#2, name string#1.1, optional bool#4
SecretVolumeSource: defaultMode int32#3, items [KeyToPath]#2, optional bool#4, secretName string#1
SecurityContext: allowPrivilegeEscalation bool#7, appArmorProfile AppArmorProfile#12, capabilities Capabilities#1,
    privileged bool#2, procMount string#9, readOnlyRootFilesystem bool#6, runAsGroup int64#8, runAsNonRoot bool#5,
    runAsUser int64#4, seLinuxOptions SELinuxOptions#3, seccompProfile SeccompProfile#11,
    windowsOptions WindowsSecurityContextOptions#10
ServiceAccountTokenProjection: audience string#1, expirationSeconds int64#2, path string!#3
SleepAction: seconds int64!#1
Sysctl: name string!#1, value string!#2
TCPSocketAction: host string#2, port intstr!#1
Toleration: effect string#4, key string#1, operator string#2, tolerationSeconds int64#5, value string#3
TopologySpreadConstraint: labelSelector LabelSelector#4, matchLabelKeys [string]#8, maxSkew int32!#1,
    minDomains int32#5, nodeAffinityPolicy string#6, nodeTaintsPolicy string#7, topologyKey string!#2,
    whenUnsatisfiable string!#3
TypedLocalObjectReference atomic: apiGroup string#1, kind string!#2, name string!#3
TypedObjectReference: apiGroup string#1, kind string!#2, name string!#3, namespace string#4
Volume: awsElasticBlockStore any#2.4, azureDisk any#2.22, azureFile any#2.18, cephfs any#2.14, cinder any#2.13,
    configMap ConfigMapVolumeSource#2.19, csi CSIVolumeSource#2.28, downwardAPI DownwardAPIVolumeSource#2.16,
    emptyDir EmptyDirVolumeSource#2.2, ephemeral EphemeralVolumeSource#2.29, fc any#2.17, flexVolume any#2.12,
    flocker any#2.15, gcePersistentDisk any#2.3, gitRepo any#2.5, glusterfs any#2.9,
    hostPath HostPathVolumeSource#2.1, image ImageVolumeSource#2.30, iscsi any#2.8, name string!#1,
    nfs NFSVolumeSource#2.7, persistentVolumeClaim PersistentVolumeClaimVolumeSource#2.10,
    photonPersistentDisk any#2.23, portworxVolume any#2.24, projected ProjectedVolumeSource#2.26, quobyte any#2.21,
    rbd any#2.11, scaleIO any#2.25, secret SecretVolumeSource#2.6, storageos any#2.27, vsphereVolume any#2.20
VolumeDevice: devicePath string!#2, name string!#1
VolumeMount: mountPath string!#3, mountPropagation string#5, name string!#1, readOnly bool#2,
    recursiveReadOnly string#7, subPath string#4, subPathExpr string#6
VolumeMountStatus: mountPath string!#2, name string!#1, readOnly bool#3, recursiveReadOnly string#4
VolumeProjection: clusterTrustBundle ClusterTrustBundleProjection#5, configMap ConfigMapProjection#3,
    downwardAPI DownwardAPIProjection#2, podCertificate PodCertificateProjection#6, secret SecretProjection#1,
    serviceAccountToken ServiceAccountTokenProjection#4
VolumeResourceRequirements: limits {quantity}#1, requests {quantity}#2
WeightedPodAffinityTerm: podAffinityTerm PodAffinityTerm!#2, weight int32!#1
WindowsSecurityContextOptions: gmsaCredentialSpec string#2, gmsaCredentialSpecName string#1, hostProcess bool#4,
    runAsUserName string#3
""",
}
