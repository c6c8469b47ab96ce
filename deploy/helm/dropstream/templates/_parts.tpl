{{- /*
What the parts are: service, role, port, and what is in the values about them. Returns YAML; use fromYaml.
*/ -}}
{{- define "dropstream.parts" -}}
{{- $root := .root | default . -}}
data: { service: data, port: 7011, serves: true }
scheduler: { service: scheduler, port: 7012, serves: true }
trainer-api: { service: trainer, role: api, port: 7013, serves: true }
trainer-worker: { service: trainer, role: worker, port: 7013, serves: false }
evaluator-api: { service: evaluator, role: api, port: 7014, serves: true }
evaluator-worker: { service: evaluator, role: worker, port: 7014, serves: false }
{{- if $root.Values.gateway.enabled }}
gateway: { service: gateway, port: 7010, serves: true, http: true }
{{- end }}
{{- end -}}

{{- /* The values of a part: (dict "root" $ "part" …). Returns YAML. */ -}}
{{- define "dropstream.partValues" -}}
{{- $part := get (include "dropstream.parts" . | fromYaml) .part -}}
{{- $values := get .root.Values $part.service -}}
{{- if $part.role -}}{{- $values = get $values $part.role -}}{{- end -}}
{{- toYaml $values -}}
{{- end -}}

{{- /* The address at which other parts call one: every replica behind the name. */ -}}
{{- define "dropstream.address" -}}
{{- $part := get (include "dropstream.parts" . | fromYaml) .part -}}
{{- printf "dns:///%s:%d" (include "dropstream.host" .) (int $part.port) -}}
{{- end -}}

{{- /* The arguments of a part's process. */ -}}
{{- define "dropstream.args" -}}
{{- $part := get (include "dropstream.parts" . | fromYaml) .part -}}
{{- $values := include "dropstream.partValues" . | fromYaml -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
{{- $args := list "serve" $part.service -}}
{{- with $part.role }}{{- $args = concat $args (list "--role" .) -}}{{- end -}}
{{- if ne $part.service "gateway" -}}{{- $args = concat $args (list "--store" (include "dropstream.storeUri" $root)) -}}{{- end -}}
{{- $args = concat $args (list "--host" "0.0.0.0" "--admin-host" "0.0.0.0") -}}
{{- $args = concat $args (list "--log-level" $v.logLevel "--drain-delay-ms" (int $v.drainDelayMs | toString)) -}}
{{- if eq $part.service "data" -}}
{{- range $values.roots -}}
{{- $projects := "" -}}
{{- if .projects -}}{{- $projects = printf "#projects=%s" (join "+" .projects) -}}{{- end -}}
{{- $args = concat $args (list "--root" (printf "%s%s" .path $projects)) -}}
{{- end -}}
{{- range $values.sources -}}{{- $args = concat $args (list "--source" .) -}}{{- end -}}
{{- if $values.cache.bytes -}}
{{- $args = concat $args (list "--cache" "/cache" "--cache-bytes" (int64 $values.cache.bytes | toString)) -}}
{{- end -}}
{{- end -}}
{{- if or (eq $part.service "trainer") (eq $part.service "evaluator") -}}
{{- $args = concat $args (list "--data" (include "dropstream.address" (dict "root" $root "part" "data"))) -}}
{{- end -}}
{{- if eq $part.service "trainer" -}}
{{- $args = concat $args (list "--scheduler" (include "dropstream.address" (dict "root" $root "part" "scheduler"))) -}}
{{- $args = concat $args (list "--evaluator" (include "dropstream.address" (dict "root" $root "part" "evaluator-api"))) -}}
{{- end -}}
{{- if eq $part.service "gateway" -}}
{{- range $service, $called := dict "data" "data" "scheduler" "scheduler" "trainer" "trainer-api" "evaluator" "evaluator-api" -}}
{{- $args = concat $args (list (printf "--%s" $service) (include "dropstream.address" (dict "root" $root "part" $called))) -}}
{{- end -}}
{{- range $values.allowedHosts -}}{{- $args = concat $args (list "--allowed-host" .) -}}{{- end -}}
{{- if $values.ingress.enabled -}}{{- $args = concat $args (list "--allowed-host" $values.ingress.host) -}}{{- end -}}
{{- range $values.allowedOrigins -}}{{- $args = concat $args (list "--allowed-origin" .) -}}{{- end -}}
{{- end -}}
{{- if and (eq ($part.role | default "") "worker") $v.keda.enabled -}}
{{- $args = concat $args (list "--exit-when-idle" (int $v.keda.exitWhenIdleSeconds | toString)) -}}
{{- end -}}
{{- if $v.tls.enabled -}}
{{- $args = concat $args (list "--tls-cert" "/etc/dropstream/tls/tls.crt" "--tls-key" "/etc/dropstream/tls/tls.key" "--tls-ca" "/etc/dropstream/tls/ca.crt") -}}
{{- if $v.tls.clientAuth -}}{{- $args = concat $args (list "--tls-client-ca" "/etc/dropstream/tls/ca.crt") -}}{{- end -}}
{{- else -}}
{{- $args = append $args "--allow-remote" -}}
{{- end -}}
{{- if $v.identities.enabled -}}
{{- $args = concat $args (list "--identities" (printf "/etc/dropstream/identities/%s" $v.identities.key)) -}}
{{- if eq $part.service "gateway" -}}
{{- /* It shows no token of its own. */ -}}
{{- else if $v.identities.tokenSecretName -}}
{{- $args = concat $args (list "--token-file" (printf "/etc/dropstream/token/%s" $v.identities.tokenKey)) -}}
{{- else if $v.identities.serviceAccountToken.enabled -}}
{{- $args = concat $args (list "--token-file" "/etc/dropstream/token/token") -}}
{{- end -}}
{{- else if not (and $v.tls.enabled $v.tls.clientAuth) -}}
{{- $args = append $args "--allow-anonymous" -}}
{{- end -}}
{{- if and $v.quotas.configMapName (ne $part.service "gateway") -}}{{- $args = concat $args (list "--quotas" (printf "/etc/dropstream/quotas/%s" $v.quotas.key)) -}}{{- end -}}
{{- if $v.audit.enabled -}}{{- $args = concat $args (list "--audit-log" "-") -}}{{- end -}}
{{- toYaml (concat $args $values.args) -}}
{{- end -}}
