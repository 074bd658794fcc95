{{/* The container, without its place: "listen", "adminListen", "root" (the chart's own context). */}}
{{- define "holdfast.container" -}}
{{- $root := .root -}}
name: holdfast
image: {{ include "holdfast.image" $root }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
args: [serve]
env:
  - { name: HOLDFAST_CONFIG, value: /etc/holdfast/holdfast.yaml }
  - { name: HOLDFAST_LISTEN, value: {{ .listen | quote }} }
  - { name: HOLDFAST_ADMIN_LISTEN, value: {{ .adminListen | quote }} }
  {{- if include "holdfast.sharedStore" $root | not }}
  # A folder of Holdfast's own in the volume, whose root belongs to the kubelet.
  - { name: HOLDFAST_DATA, value: /data/ledger }
  {{- end }}
  {{- with $root.Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: { drop: [ALL] }
  seccompProfile: { type: RuntimeDefault }
# An upstream outage does not make it unready: whoever cannot reach it would lose the answers that it still has.
startupProbe:
  httpGet: { path: /readyz, port: holdfast-admin }
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet: { path: /readyz, port: holdfast-admin }
  periodSeconds: 5
  timeoutSeconds: 2
livenessProbe:
  httpGet: { path: /healthz, port: holdfast-admin }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
lifecycle:
  preStop:
    sleep: { seconds: {{ $root.Values.preStopSeconds }} }
resources:
  {{- toYaml $root.Values.resources | nindent 2 }}
volumeMounts:
  # Whole folders: a single file (subPath) would never see a change.
  - { name: holdfast-config, mountPath: /etc/holdfast, readOnly: true }
  - { name: holdfast-secrets, mountPath: /run/secrets/holdfast, readOnly: true }
  {{- if include "holdfast.sharedStore" $root | not }}
  - { name: {{ .dataVolume }}, mountPath: /data }
  {{- end }}
{{- end }}

{{- define "holdfast.sourceVolumes" -}}
- name: holdfast-config
  configMap: { name: {{ include "holdfast.name" . }} }
- name: holdfast-secrets
  projected:
    # Only the containers that mount it read it, as a user that the pod may not share.
    defaultMode: 0444
    sources:
      - secret: { name: {{ .Values.secrets.adminToken.name }}, items: [{ key: {{ .Values.secrets.adminToken.key }}, path: admin-token }] }
      {{- with .Values.secrets.clientToken }}{{ if .name }}
      - secret: { name: {{ .name }}, items: [{ key: {{ .key }}, path: client-token }] }
      {{- end }}{{ end }}
      {{- with .Values.secrets.intercomToken }}{{ if .name }}
      - secret: { name: {{ .name }}, items: [{ key: {{ .key }}, path: intercom-token }] }
      {{- end }}{{ end }}
      {{- if and .Values.secrets.tls (eq .Values.mode "gateway") }}
      - secret: { name: {{ .Values.secrets.tls }}, items: [{ key: tls.crt, path: tls.crt }, { key: tls.key, path: tls.key }] }
      {{- end }}
{{- end }}

{{/* Keys that a running process keeps: their change is a new pod. */}}
{{- define "holdfast.restartSum" -}}
{{- dig "log" "redact" (list) .Values.config | toJson | sha256sum }}
{{- end }}
