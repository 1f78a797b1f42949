import type { Database } from './database.js'

/** What a snapshot is of. */
export type SnapshotKind = 'cluster' | 'nodes' | 'queue'

/** The coordinator's last answers about the cluster, for when it is away. */
export interface ClusterSnapshots {
  read(tenantId: string, kind: SnapshotKind): Promise<{ value: unknown; syncedAt: Date } | null>
  write(tenantId: string, kind: SnapshotKind, value: unknown, syncedAt: Date): Promise<void>
}

/** The queries of the cluster's snapshots. */
export function clusterSnapshots(database: Database): ClusterSnapshots {
  return {
    async read(tenantId, kind) {
      const row = await database.clusterSnapshot.findUnique({ where: { tenantId_kind: { tenantId, kind } } })
      return row && { value: JSON.parse(row.document) as unknown, syncedAt: row.syncedAt }
    },
    async write(tenantId, kind, value, syncedAt) {
      const document = JSON.stringify(value)
      await database.$executeRaw`
        INSERT INTO cluster_snapshot (tenant_id, kind, synced_at, document) VALUES (${tenantId}, ${kind}, ${syncedAt}, ${document})
        ON DUPLICATE KEY UPDATE document = IF(VALUES(synced_at) > synced_at, VALUES(document), document), synced_at = GREATEST(synced_at, VALUES(synced_at))`
    },
  }
}
