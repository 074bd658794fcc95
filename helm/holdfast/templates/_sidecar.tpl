{{/*
For your own chart, which has this one as a dependency with `mode: sidecar`. Give each of them .Subcharts.holdfast (or
the alias of the dependency):

  spec.template.metadata.labels        {{ include "holdfast.sidecar.labels" .Subcharts.holdfast | nindent 8 }}
  spec.template.metadata.annotations   {{ include "holdfast.sidecar.annotations" .Subcharts.holdfast | nindent 8 }}
  spec.template.spec.initContainers    {{ include "holdfast.sidecar" .Subcharts.holdfast | nindent 8 }}
  spec.template.spec.volumes           {{ include "holdfast.sidecar.volumes" .Subcharts.holdfast | nindent 8 }}

It starts before your containers and stops after them. Add 40 s to terminationGracePeriodSeconds.
*/}}
{{- define "holdfast.sidecar" -}}
{{- $data := .Values.sidecar.dataVolume | default "holdfast-data" -}}
{{- $listen := printf "127.0.0.1:%v" .Values.sidecar.port -}}
{{- $adminListen := printf "0.0.0.0:%v" .Values.sidecar.adminPort -}}
- restartPolicy: Always
  {{- include "holdfast.container" (dict "root" . "listen" $listen "adminListen" $adminListen "dataVolume" $data) | nindent 2 }}
  ports:
    - { name: holdfast-admin, containerPort: {{ .Values.sidecar.adminPort }} }
{{- end }}

{{- define "holdfast.sidecar.volumes" -}}
{{ include "holdfast.sourceVolumes" . }}
{{- if and (not .Values.sidecar.dataVolume) (not (include "holdfast.sharedStore" .)) }}
- name: holdfast-data
  emptyDir: { sizeLimit: {{ .Values.sidecar.emptyDirSize }} }
{{- end }}
{{- end }}

{{- define "holdfast.sidecar.labels" -}}
holdfast-sidecar: {{ include "holdfast.name" . }}
{{- end }}

{{- define "holdfast.sidecar.annotations" -}}
checksum/holdfast: {{ include "holdfast.restartSum" . }}
{{- end }}
