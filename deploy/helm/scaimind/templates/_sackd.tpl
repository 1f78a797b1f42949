{{/*
Slurm's own sidecar: it signs for the commands of its pod through /run/slurm/sack.socket, and fetches slurm.conf from slurmctld. It takes its key only from a file that
nobody else can read, which a mounted Secret is not: hence the copy. include "scaimind.sackd" (list . image)
*/}}
{{- define "scaimind.sackd" -}}
{{- $root := index . 0 -}}
{{- $sackd := $root.Values.coordinator.slurm.sackd -}}
- name: slurm-key
  image: {{ index . 1 }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  command: [install, --mode=0600, /mnt/slurm/slurm.key, /etc/slurm/slurm.key]
  securityContext:
    runAsUser: {{ $sackd.uid }}
    {{- include "scaimind.containerSecurity" $root | nindent 4 }}
  resources:
    requests: { cpu: 10m, memory: 16Mi }
    limits: { memory: 64Mi }
  volumeMounts:
    - { name: slurm-key, mountPath: /mnt/slurm, readOnly: true }
    - { name: etc-slurm, mountPath: /etc/slurm }
- name: sackd
  image: {{ index . 1 }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  restartPolicy: Always
  command: [sackd, -D, --conf-server, {{ required "coordinator.slurm.sackd.controller is needed where sackd is enabled" $sackd.controller | quote }}, --key-file, /etc/slurm/slurm.key]
  startupProbe:
    exec: { command: [test, -S, /run/slurm/sack.socket] }
    periodSeconds: 2
    failureThreshold: 60
  securityContext:
    runAsUser: {{ $sackd.uid }}
    {{- include "scaimind.containerSecurity" $root | nindent 4 }}
  resources:
    requests: { cpu: 50m, memory: 64Mi }
    limits: { memory: 256Mi }
  volumeMounts:
    - { name: etc-slurm, mountPath: /etc/slurm, readOnly: true }
    - { name: run-slurm, mountPath: /run/slurm }
    - { name: tmp, mountPath: /tmp }
{{- end -}}
