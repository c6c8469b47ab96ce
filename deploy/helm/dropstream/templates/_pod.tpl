{{- /* The template of a part's pods: (dict "root" $ "part" … "restartPolicy" "Never" or nothing) */ -}}
{{- define "dropstream.podTemplate" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
{{- $part := get (include "dropstream.parts" . | fromYaml) .part -}}
{{- $values := include "dropstream.partValues" . | fromYaml -}}
{{- $pod := mergeOverwrite (deepCopy $v.pod) ($values.pod | default dict) -}}
{{- $scheme := ternary "HTTPS" "HTTP" $v.tls.enabled -}}
metadata:
  labels:
    {{- include "dropstream.labels" . | nindent 4 }}
    {{- with $pod.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $pod.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "dropstream.serviceAccountName" $root }}
  automountServiceAccountToken: false
  # Kubernetes would set variables such as DROPSTREAM_DATA_PORT, which services read as options.
  enableServiceLinks: false
  {{- with $v.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  {{- with $pod.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $pod.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with $pod.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $pod.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $pod.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if and $part.serves $v.topologySpread.enabled }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: topology.kubernetes.io/zone
      whenUnsatisfiable: {{ $v.topologySpread.whenUnsatisfiable }}
      labelSelector:
        matchLabels:
          {{- include "dropstream.selector" . | nindent 10 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 1000
    runAsGroup: 1000
    fsGroup: 1000
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  containers:
    - name: {{ $part.service }}
      image: {{ include "dropstream.image" (dict "root" $root "variant" ($values.variant | default "cpu")) }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      args:
        {{- include "dropstream.args" . | nindent 8 }}
      {{- with include "dropstream.env" . | trim }}
      env:
        {{- . | nindent 8 }}
      {{- end }}
      ports:
        - { name: {{ ternary "http" "grpc" (hasKey $part "http") }}, containerPort: {{ $part.port }}, protocol: TCP }
        - { name: admin, containerPort: {{ add $part.port 1000 }}, protocol: TCP }
      # A service waits for its store before it is ready, for as long as that takes.
      startupProbe:
        httpGet: { path: /livez, port: admin, scheme: {{ $scheme }} }
        periodSeconds: 1
        failureThreshold: 60
      livenessProbe:
        httpGet: { path: /livez, port: admin, scheme: {{ $scheme }} }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: { path: /readyz, port: admin, scheme: {{ $scheme }} }
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 1
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      volumeMounts:
        {{- include "dropstream.volumeMounts" . | nindent 8 }}
  volumes:
    {{- include "dropstream.volumes" . | nindent 4 }}
{{- end -}}

{{- define "dropstream.env" -}}
{{- $v := .root.Values -}}
{{- $part := get (include "dropstream.parts" . | fromYaml) .part -}}
{{- $values := include "dropstream.partValues" . | fromYaml -}}
{{- $secret := include "dropstream.storeSecret" .root -}}
{{- $keys := ternary $v.store (dict "accessKeyKey" "accessKey" "secretKeyKey" "secretKey" "credentialsFileKey" "") (ne $v.store.uri "") -}}
{{- if eq $part.service "gateway" -}}
{{- /* It reads no store. */ -}}
{{- else if $keys.credentialsFileKey -}}
- name: DROPSTREAM_S3_CREDENTIALS_FILE
  value: /etc/dropstream/store/{{ $keys.credentialsFileKey }}
{{- else -}}
- name: DROPSTREAM_S3_ACCESS_KEY
  valueFrom:
    secretKeyRef: { name: {{ $secret }}, key: {{ $keys.accessKeyKey }} }
- name: DROPSTREAM_S3_SECRET_KEY
  valueFrom:
    secretKeyRef: { name: {{ $secret }}, key: {{ $keys.secretKeyKey }} }
{{- end }}
{{- if and $v.isa (eq ($part.role | default "") "worker") }}
- name: DROPSTREAM_ISA
  value: {{ $v.isa | quote }}
{{- end }}
{{- range $name, $value := mergeOverwrite (deepCopy $v.env) ($values.env | default dict) }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- with $v.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "dropstream.volumeMounts" -}}
{{- $v := .root.Values -}}
{{- $values := include "dropstream.partValues" . | fromYaml -}}
- { name: tmp, mountPath: /tmp }
{{- if $v.tls.enabled }}
- { name: tls, mountPath: /etc/dropstream/tls, readOnly: true }
{{- end }}
{{- if $v.identities.enabled }}
- { name: identities, mountPath: /etc/dropstream/identities, readOnly: true }
{{- if and (ne .part "gateway") (or $v.identities.tokenSecretName $v.identities.serviceAccountToken.enabled) }}
- { name: token, mountPath: /etc/dropstream/token, readOnly: true }
{{- end }}
{{- end }}
{{- if and $v.quotas.configMapName (ne .part "gateway") }}
- { name: quotas, mountPath: /etc/dropstream/quotas, readOnly: true }
{{- end }}
{{- if and $v.store.uri $v.store.credentialsFileKey (ne .part "gateway") }}
- { name: store, mountPath: /etc/dropstream/store, readOnly: true }
{{- end }}
{{- if eq .part "data" }}
{{- range $k, $root := $values.roots }}
- { name: root-{{ $k }}, mountPath: {{ $root.path }}, readOnly: true }
{{- end }}
{{- if $values.cache.bytes }}
- { name: cache, mountPath: /cache }
{{- end }}
{{- end }}
{{- with $v.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "dropstream.volumes" -}}
{{- $v := .root.Values -}}
{{- $values := include "dropstream.partValues" . | fromYaml -}}
- name: tmp
  emptyDir: { sizeLimit: 1Gi }
{{- if $v.tls.enabled }}
- name: tls
  secret: { secretName: {{ $v.tls.secretName }}, defaultMode: 0440 }
{{- end }}
{{- if $v.identities.enabled }}
- name: identities
  secret: { secretName: {{ $v.identities.secretName }}, defaultMode: 0440 }
{{- if eq .part "gateway" }}
{{- else if $v.identities.tokenSecretName }}
- name: token
  secret: { secretName: {{ $v.identities.tokenSecretName }}, defaultMode: 0440 }
{{- else if $v.identities.serviceAccountToken.enabled }}
- name: token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          audience: {{ $v.identities.serviceAccountToken.audience }}
          expirationSeconds: 3600
          path: token
{{- end }}
{{- end }}
{{- if and $v.quotas.configMapName (ne .part "gateway") }}
- name: quotas
  configMap: { name: {{ $v.quotas.configMapName }} }
{{- end }}
{{- if and $v.store.uri $v.store.credentialsFileKey (ne .part "gateway") }}
- name: store
  secret: { secretName: {{ $v.store.existingSecret }}, defaultMode: 0440 }
{{- end }}
{{- if eq .part "data" }}
{{- range $k, $root := $values.roots }}
- name: root-{{ $k }}
  {{- toYaml $root.volume | nindent 2 }}
{{- end }}
{{- if $values.cache.bytes }}
- name: cache
  {{- toYaml ($values.cache.volume | default (dict "emptyDir" dict)) | nindent 2 }}
{{- end }}
{{- end }}
{{- with $v.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
