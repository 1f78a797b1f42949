import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { credentials, Metadata } from '@grpc/grpc-js'
import { afterAll, describe, expect, it } from 'vitest'
import { readCoordinatorConfig } from '../../../src/config.js'
import { scaimindV1 } from '../../../src/contract/proto.js'
import { startCoordinator } from '../../../src/coordinator/server.js'
import { freshDatabase } from '../../support/database.js'

const folder = mkdtempSync(join(tmpdir(), 'scaimind-tls-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('With TLS', () => {
  // Certificates are made with openssl, which not every machine has.
  it.skipIf(spawnSync('openssl', ['version']).error)(
    'the coordinator listens on any address and serves callers who trust its certificate',
    async () => {
      const key = join(folder, 'key.pem')
      const certificate = join(folder, 'certificate.pem')
      const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
      const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1', ...names]
      execFileSync('openssl', [...args, '-keyout', key, '-out', certificate], { stdio: 'ignore' })
      const secret = 'a secret of enough characters'
      const settings = {
        SCAIMIND_DATA_DIR: folder,
        COORDINATOR_DATABASE_URL: await freshDatabase('coordinator'),
        SCAIMIND_API_SECRET: secret,
        SCAIMIND_COORDINATOR_HOST: '0.0.0.0',
        SCAIMIND_COORDINATOR_PORT: '0',
        SCAIMIND_LOG_LEVEL: 'silent',
        SCAIMIND_TLS_ENABLED: 'true',
        SCAIMIND_TLS_CERT_FILE: certificate,
      }
      await expect(startCoordinator(readCoordinatorConfig(settings))).rejects.toThrow(/^SCAIMIND_TLS_KEY_FILE is not set/)
      const coordinator = await startCoordinator(readCoordinatorConfig({ ...settings, SCAIMIND_TLS_KEY_FILE: key }))
      const trusting = credentials.createSsl(readFileSync(certificate))
      const client = new scaimindV1.ClusterService(`localhost:${coordinator.port}`, trusting)
      const metadata = new Metadata()
      metadata.set('x-api-secret', secret)
      metadata.set('x-tenant-id', 'ada')
      const cluster = await new Promise((resolve, reject) =>
        client.GetCluster({}, metadata, (error, value) => (error ? reject(error) : resolve(value))),
      )
      expect(cluster).toMatchObject({ engine: 'local' })
      client.close()
      await coordinator.close()
      await coordinator.close()
    },
  )
})
