{{- define "scaimind.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels of one part: include "scaimind.selector" (list . "api") */}}
{{- define "scaimind.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "scaimind.labels" -}}
{{- $root := index . 0 -}}
{{ include "scaimind.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{/* An image by digest or tag: include "scaimind.image" (list . .Values.image) */}}
{{- define "scaimind.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default $root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "scaimind.secret" -}}
{{- default (printf "%s-api-secret" (include "scaimind.fullname" .)) .Values.existingSecret -}}
{{- end -}}

{{- define "scaimind.mariadbSecret" -}}
{{- default (printf "%s-mariadb" (include "scaimind.fullname" .)) .Values.mariadb.existingSecret -}}
{{- end -}}

{{/* The Secret with a part's certificate: include "scaimind.tlsSecret" (list . "api") */}}
{{- define "scaimind.tlsSecret" -}}
{{- $root := index . 0 -}}
{{- $certificates := $root.Values.certificates -}}
{{- if eq $certificates.source "existing" -}}
{{- required (printf "certificates.existing.%sSecret is needed where certificates.source is existing" (index . 1)) (get $certificates.existing (printf "%sSecret" (index . 1))) -}}
{{- else -}}
{{- printf "%s-%s-tls" (include "scaimind.fullname" $root) (index . 1) -}}
{{- end -}}
{{- end -}}

{{- define "scaimind.claim" -}}
{{- default (printf "%s-data" (include "scaimind.fullname" .)) .Values.data.existingClaim -}}
{{- end -}}

{{/* The coordinators by their lasting names, for SCAIMIND_GRPC_HOST. */}}
{{- define "scaimind.coordinators" -}}
{{- $service := printf "%s-coordinator" (include "scaimind.fullname" .) -}}
{{- $hosts := list -}}
{{- range $number := until (int .Values.coordinator.replicas) -}}
{{- $hosts = append $hosts (printf "%s-%d.%s.%s.svc" $service $number $service $.Release.Namespace) -}}
{{- end -}}
{{- join "," $hosts -}}
{{- end -}}

{{- define "scaimind.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.user.uid }}
runAsGroup: {{ .Values.user.gid }}
fsGroup: {{ .Values.user.gid }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "scaimind.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* The databases: include "scaimind.databases" (list . "DATABASE_URL" …) */}}
{{- define "scaimind.databases" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.mariadb.enabled -}}
- name: MARIADB_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ include "scaimind.mariadbSecret" $root }}, key: password } }
{{- end -}}
{{- range $setting := rest . }}
- name: {{ $setting }}
{{- if $root.Values.mariadb.enabled }}
  value: mysql://scaimind:$(MARIADB_PASSWORD)@{{ include "scaimind.fullname" $root }}-mariadb:3306/{{ ternary "scaimind" "scaimind_coordinator" (eq $setting "DATABASE_URL") }}
{{- else }}
  valueFrom: { secretKeyRef: { name: {{ required "database.existingSecret is needed where mariadb.enabled is false" $root.Values.database.existingSecret }}, key: {{ $setting }} } }
{{- end }}
{{- end }}
{{- end -}}

{{/* What both programs are told: include "scaimind.environment" (list . .Values.api) */}}
{{- define "scaimind.environment" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
- name: SCAIMIND_API_SECRET
  valueFrom: { secretKeyRef: { name: {{ include "scaimind.secret" $root }}, key: api-secret } }
- { name: SCAIMIND_TLS_ENABLED, value: 'true' }
- { name: SCAIMIND_TLS_CA_FILE, value: /certificates/ca.crt }
- { name: SCAIMIND_TLS_CERT_FILE, value: /certificates/tls.crt }
- { name: SCAIMIND_TLS_KEY_FILE, value: /certificates/tls.key }
{{- range $name, $value := $part.settings }}
- { name: {{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- range $name, $reference := $part.secretSettings }}
- name: {{ $name }}
  valueFrom: { secretKeyRef: {{ toJson $reference }} }
{{- end }}
{{- end -}}

{{/*
Brings the tables up to date before a program starts. Any number may run at once: one migrates, the others wait. It is no hook, because a hook that
runs before the installation would find neither the bundled database nor its password.
*/}}
{{- define "scaimind.migrate" -}}
- name: migrate
  image: {{ include "scaimind.image" (list . .Values.image) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args: [migrate]
  env:
    {{- include "scaimind.databases" (list . "DATABASE_URL" "COORDINATOR_DATABASE_URL") | nindent 4 }}
  securityContext:
    {{- include "scaimind.containerSecurity" . | nindent 4 }}
  resources:
    requests: { cpu: 100m, memory: 128Mi }
    limits: { memory: 512Mi }
  volumeMounts:
    - { name: tmp, mountPath: /tmp }
{{- end -}}
