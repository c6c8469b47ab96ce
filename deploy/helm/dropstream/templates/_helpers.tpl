{{- define "dropstream.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Labels that never change, of the whole release or, given (dict "root" $ "part" …), of a part. */ -}}
{{- define "dropstream.selector" -}}
{{- $root := .root | default . -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- with .part }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "dropstream.labels" -}}
{{- $root := .root | default . -}}
{{ include "dropstream.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: dropstream
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "dropstream.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "dropstream.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* (dict "root" $ "variant" "cpu"|"gpu") */ -}}
{{- define "dropstream.image" -}}
{{- $image := .root.Values.image -}}
{{- $suffix := ternary "-gpu" "" (eq .variant "gpu") -}}
{{- if and $image.digest (eq $suffix "") -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s%s" $image.repository (default .root.Chart.AppVersion $image.tag) $suffix -}}
{{- end -}}
{{- end -}}

{{- /* The name under which a part's pods are found: (dict "root" $ "part" …) */ -}}
{{- define "dropstream.host" -}}
{{- printf "%s-%s.%s.svc" (include "dropstream.fullname" .root) .part .root.Release.Namespace -}}
{{- end -}}

{{- define "dropstream.storeUri" -}}
{{- if .Values.store.uri -}}
{{- .Values.store.uri -}}
{{- else -}}
{{- printf "s3://%s?endpoint=http://%s:9000&region=us-east-1" .Values.minio.bucket (include "dropstream.host" (dict "root" . "part" "minio")) -}}
{{- end -}}
{{- end -}}

{{- define "dropstream.storeSecret" -}}
{{- if .Values.store.uri -}}
{{- .Values.store.existingSecret -}}
{{- else -}}
{{- default (printf "%s-minio" (include "dropstream.fullname" .)) .Values.minio.existingSecret -}}
{{- end -}}
{{- end -}}

{{- /* What the schema cannot say: combinations that would only be found out by pods that do not start. */ -}}
{{- define "dropstream.validate" -}}
{{- $v := .Values -}}
{{- if and (not $v.store.uri) (not $v.minio.enabled) -}}
{{- fail "There is no store: give store.uri and store.existingSecret, or leave minio.enabled on." -}}
{{- end -}}
{{- if and $v.store.uri $v.minio.enabled -}}
{{- fail "There are two stores: with store.uri, set minio.enabled to false." -}}
{{- end -}}
{{- if and $v.store.uri (not $v.store.existingSecret) -}}
{{- fail "The store of store.uri needs store.existingSecret, a secret with its access key and its secret key." -}}
{{- end -}}
{{- if and $v.tls.enabled (not $v.tls.secretName) -}}
{{- fail "tls.enabled needs tls.secretName, a secret with tls.crt, tls.key and ca.crt." -}}
{{- end -}}
{{- if and (not $v.tls.enabled) (not $v.tls.allowPlainText) -}}
{{- fail "How do calls travel? Set tls.enabled, or tls.allowPlainText for plain text." -}}
{{- end -}}
{{- if and (not $v.identities.enabled) (not $v.identities.allowAnonymous) (not (and $v.tls.enabled $v.tls.clientAuth)) -}}
{{- fail "Who may call? Set identities.enabled, or tls.clientAuth, or identities.allowAnonymous for everybody." -}}
{{- end -}}
{{- if and $v.identities.enabled (not $v.identities.secretName) -}}
{{- fail "identities.enabled needs identities.secretName, a secret with the file that `dropstream token` makes." -}}
{{- end -}}
{{- $shows := or $v.identities.tokenSecretName $v.identities.serviceAccountToken.enabled -}}
{{- if and $v.identities.enabled (not $v.tls.enabled) -}}
{{- fail "identities.enabled needs tls.enabled, because no token is sent in plain text to another machine." -}}
{{- end -}}
{{- if and $v.identities.enabled (not $shows) (not $v.tls.clientAuth) -}}
{{- fail "With identities.enabled, services must show who they are to each other: name identities.tokenSecretName, or turn identities.serviceAccountToken.enabled or tls.clientAuth on." -}}
{{- end -}}
{{- if and $v.gateway.enabled $v.tls.enabled $v.tls.clientAuth -}}
{{- fail "Services that demand certificates of callers cannot be called through the gateway, which shows none: set gateway.enabled to false, or tls.clientAuth to false with identities.enabled." -}}
{{- end -}}
{{- if and $v.gateway.enabled $v.gateway.ingress.enabled (not $v.gateway.ingress.host) -}}
{{- fail "gateway.ingress.enabled needs gateway.ingress.host, the name by which browsers reach the gateway." -}}
{{- end -}}
{{- if and $v.gateway.enabled (not $v.gateway.allowedHosts) (not $v.gateway.ingress.enabled) (not $v.identities.enabled) (not $v.tls.enabled) -}}
{{- fail "gateway.allowedHosts is empty: name the hosts by which browsers reach the gateway, or * for any name." -}}
{{- end -}}
{{- if and $v.identities.tokenSecretName $v.identities.serviceAccountToken.enabled -}}
{{- fail "A service shows one token: identities.tokenSecretName or identities.serviceAccountToken.enabled, not both." -}}
{{- end -}}
{{- end -}}
