import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Engine, EngineNode } from '../../../src/coordinator/engines/engine.js'
import { readInventory } from '../../../src/coordinator/jobs/placement/inventory.js'
import { nodeControl } from '../../../src/coordinator/jobs/placement/node-control.js'
import { openDatabase, underLease } from '../../../src/coordinator/jobs/records/database.js'
import { clusterMethods } from '../../../src/coordinator/services/cluster.js'
import { freshDatabase } from '../../support/database.js'

let records: ReturnType<typeof openDatabase>
let database: ReturnType<typeof underLease>

beforeAll(async () => {
  records = openDatabase(await freshDatabase('coordinator'))
  database = underLease(records, 0n)
})
afterAll(() => records?.$disconnect())

/** A cluster that keeps drains itself, and shows each change only at the second look after it. */
function cluster(...nodeIds: string[]) {
  const drained = new Map<string, string>()
  const told: string[] = []
  let shown: EngineNode[] = []
  const look = () => {
    const before = shown
    shown = nodeIds.map((nodeId) => ({
      nodeId,
      hostname: nodeId,
      features: [],
      online: true,
      draining: drained.has(nodeId),
      reason: drained.get(nodeId) ?? '',
      gpus: [],
      cpus: 1,
      memoryBytes: 0,
      lastHeartbeat: new Date(),
    }))
    return before.length > 0 ? before : shown
  }
  const engine = {
    name: 'slurm',
    scheduler: {},
    nodes: async () => look(),
    nodeControl: {
      async drain(nodeId: string, reason: string) {
        told.push(`drain ${nodeId}`)
        drained.set(nodeId, reason)
      },
      async enable(nodeId: string) {
        told.push(`enable ${nodeId}`)
        drained.delete(nodeId)
      },
    },
  } as unknown as Engine
  const seen = async (id: string) => (await readInventory(engine, database)).find(({ node }) => node.nodeId === id)
  return { engine, drained, told, seen, control: nodeControl({ engine, database, clock: () => new Date() }) }
}

const rowOf = (nodeId: string) => database.node.findUnique({ where: { nodeId } })

describe('Where the engine keeps drains itself', () => {
  it('a drain through us is the engine’s, and has come about when it is answered', async () => {
    const { control, seen, told } = cluster('a1')
    await control.drain('a1', { reason: 'new fans', evictAt: null })
    expect(await seen('a1')).toMatchObject({ draining: true, reason: 'new fans', cordoned: false })
    await control.settle()
    expect(told).toEqual(['drain a1'])
    await control.enable('a1')
    expect(await seen('a1')).toMatchObject({ draining: false })
    expect(await rowOf('a1')).toBeNull()
  })

  it('an administrator’s drain looks the same, and needs nothing of ours to be ended', async () => {
    const { control, drained, seen, told } = cluster('b1')
    drained.set('b1', 'root: disk')
    await seen('b1')
    expect(await seen('b1')).toMatchObject({ draining: true, reason: 'root: disk' })
    await control.enable('b1')
    expect([await seen('b1'), told]).toMatchObject([{ draining: false }, ['enable b1']])
  })

  it('a node that an administrator enables is enabled: what we had on record, and its blame, are forgotten', async () => {
    const { control, drained, seen, told } = cluster('c1')
    await control.drain('c1', { reason: 'x', evictAt: new Date(0) })
    const blame = { nodeId: 'c1', jobId: 'job_a', attempt: 1, tenantId: 't', time: new Date(), message: '' }
    await records.nodeBlame.create({ data: blame })
    drained.delete('c1')
    await seen('c1')
    await control.settle()
    expect([await rowOf('c1'), await database.nodeBlame.count({ where: { nodeId: 'c1' } })]).toEqual([null, 0])
    expect(told).toEqual(['drain c1'])
  })

  it('a drain that was decided and not told, such as a cordon, is told; the engine’s slowness to show it does not end it', async () => {
    const { control, seen, told } = cluster('d1')
    await seen('d1')
    const row = { nodeId: 'd1', draining: true, cordoned: true, reason: 'Cordoned: …', updatedAt: new Date() }
    await records.node.create({ data: row })
    await control.settle()
    await control.settle()
    expect(await rowOf('d1')).toMatchObject({ cordoned: true })
    await control.settle()
    expect(await rowOf('d1')).toMatchObject({ confirmed: true })
    expect(await seen('d1')).toMatchObject({ draining: true, cordoned: true, reason: 'Cordoned: …' })
    expect(new Set(told)).toEqual(new Set(['drain d1']))
  })
})

it('an engine with a scheduler of its own takes no node agents, and says so by the method’s name', async () => {
  const { engine } = cluster()
  const methods = clusterMethods({ engine, database } as Parameters<typeof clusterMethods>[0])
  const caller = { tenantId: 't', userId: '', requestId: '' }
  for (const name of ['RegisterNode', 'Heartbeat', 'AllocateGPUs']) {
    await expect(methods[name]?.unary?.({}, caller)).rejects.toMatchObject({
      code: 'NOT_IMPLEMENTED',
      message: `${name}: the engine slurm knows its nodes itself; no agents report them.`,
    })
  }
})
