{{- /* Where the scaler of a service's workers answers: (dict "root" $ "service" "trainer"|"evaluator"). */ -}}
{{- define "dropstream.scaler" -}}
{{- $name := printf "%s-api" .service -}}
{{- $part := get (include "dropstream.parts" .root | fromYaml) $name -}}
{{- printf "%s:%d" (include "dropstream.host" (dict "root" .root "part" $name)) (int $part.port) -}}
{{- end -}}

{{- /* How many runs or evaluations one worker takes: its --workers. */ -}}
{{- define "dropstream.workersOf" -}}
{{- $workers := 1 -}}
{{- range $k, $arg := .args -}}
{{- if eq $arg "--workers" -}}{{- $workers = index $.args (add1 $k) -}}{{- end -}}
{{- if hasPrefix "--workers=" $arg -}}{{- $workers = trimPrefix "--workers=" $arg -}}{{- end -}}
{{- end -}}
{{- $workers -}}
{{- end -}}

{{- /*
"true" if the data service gets a ScaledObject. KEDA makes its HorizontalPodAutoscaler from what the scaler says at that moment; if it does not answer,
one for the CPU stays behind (keda#5787, keda#7729). So unless something else keeps the order, the ScaledObject waits for an upgrade that finds the api
ready; one that is there already stays.
*/ -}}
{{- define "dropstream.scalesData" -}}
{{- if .Values.keda.enabled -}}
{{- if eq .Values.keda.dataScaler "always" -}}
true
{{- else -}}
{{- $name := include "dropstream.fullname" . -}}
{{- $object := lookup "keda.sh/v1alpha1" "ScaledObject" .Release.Namespace (printf "%s-data" $name) -}}
{{- $api := lookup "apps/v1" "Deployment" .Release.Namespace (printf "%s-trainer-api" $name) -}}
{{- if or $object (gt (dig "status" "readyReplicas" 0 ($api | default dict) | int) 0) -}}
true
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
