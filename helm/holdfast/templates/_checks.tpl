{{/* What the schema of the values cannot say: refused here, with the reason and the way out. */}}
{{- define "holdfast.checks" -}}
{{- if not .Values.secrets.adminToken.name }}
{{- fail "secrets.adminToken is required: the admin plane is reached from outside the pod, and Holdfast does not start without a token then. kubectl create secret generic holdfast --from-literal=admin-token=\"$(openssl rand -hex 32)\", then secrets.adminToken: { name: holdfast, key: admin-token }" }}
{{- end }}
{{- range $key := list "listen" "admin" "tls" }}
{{- if hasKey $.Values.config $key }}
{{- fail (printf "config.%s is set by the chart: use service, sidecar and secrets, and take it out of config" $key) }}
{{- end }}
{{- end }}
{{- if and (hasKey .Values.config "data") (not (include "holdfast.sharedStore" .)) }}
{{- fail "config.data is set by the chart: use persistence or sidecar.dataVolume, and take it out of config" }}
{{- end }}
{{- if eq .Values.mode "gateway" }}
{{- $several := or (gt (int .Values.replicas) 1) .Values.autoscaling.enabled }}
{{- if and $several (not (include "holdfast.sharedStore" .)) }}
{{- fail "replicas above 1 and autoscaling need a store that all replicas share (config.data.postgres). The embedded one belongs to one process: two would not see each other's operations, so that the same Idempotency-Key could create twice, and each would spend the token's quota as if it were alone. One replica carries more than a token's quota; for more tokens use a release for each, or sidecars" }}
{{- end }}
{{- if and .Values.secrets.intercomToken.name (not .Values.secrets.clientToken.name) (not (eq (toString .Values.config.clients) "open")) }}
{{- fail "secrets.intercomToken lets everyone who reaches the gateway use that token: set secrets.clientToken, or write config.clients: open" }}
{{- end }}
{{- end }}
{{- end }}

{{/* holdfast.yaml: the values' own, and where the secrets are mounted. */}}
{{- define "holdfast.config" -}}
{{- include "holdfast.checks" . }}
{{- $own := dict "version" 1 "admin" (dict "token_file" "/run/secrets/holdfast/admin-token") }}
{{- if .Values.secrets.clientToken.name }}
{{- $_ := set $own "clients" (dict "token_file" "/run/secrets/holdfast/client-token") }}
{{- end }}
{{- if .Values.secrets.intercomToken.name }}
{{- $_ := set $own "upstream" (dict "credentials" (dict "bearer_file" "/run/secrets/holdfast/intercom-token")) }}
{{- end }}
{{- if and .Values.secrets.tls (eq .Values.mode "gateway") }}
{{- $_ := set $own "tls" (dict "cert_file" "/run/secrets/holdfast/tls.crt" "key_file" "/run/secrets/holdfast/tls.key") }}
{{- end }}
{{- mustMergeOverwrite (deepCopy .Values.config) $own | toYaml }}
{{- end }}
