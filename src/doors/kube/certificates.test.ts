import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type Clock, systemClock } from '../../lib/clock.ts'
import { loadCertificates } from './certificates.ts'

const directory = mkdtempSync(join(tmpdir(), 'slipway-pki-'))
after(() => rmSync(directory, { recursive: true }))
const later = (days: number): Clock => ({ ...systemClock, now: () => Date.now() + days * 24 * 3600 * 1000 })

test('makes a chain once, keeps it, and adds names when asked', () => {
  const first = loadCertificates({ directory, clock: systemClock })
  const ca = new X509Certificate(first.ca)
  const server = new X509Certificate(first.cert)
  assert.ok(ca.ca && ca.verify(ca.publicKey))
  assert.ok(server.checkIssued(ca) && server.verify(ca.publicKey))
  assert.equal(server.checkIP('127.0.0.1'), '127.0.0.1')
  assert.equal(server.checkIP('::1'), '::1')
  assert.equal(server.checkHost('kubernetes.default.svc'), 'kubernetes.default.svc')
  assert.match(new X509Certificate(first.adminCert).subject, /O=system:masters\nCN=kubernetes-admin/)
  assert.equal(statSync(join(directory, 'ca.key')).mode & 0o777, 0o600)
  assert.deepEqual(loadCertificates({ directory, clock: systemClock }), first)

  const named = loadCertificates({ directory, clock: systemClock, names: ['10.96.0.1', 'fd00::1', 'box.example'] })
  assert.equal(named.ca, first.ca)
  assert.equal(named.adminCert, first.adminCert)
  assert.equal(new X509Certificate(named.cert).checkIP('10.96.0.1'), '10.96.0.1')
  assert.equal(new X509Certificate(named.cert).checkIP('fd00::1'), 'fd00::1')
  assert.equal(new X509Certificate(named.cert).checkHost('box.example'), 'box.example')
})

test('renews before expiry, keeping the authority and the token key', () => {
  const now = loadCertificates({ directory, clock: systemClock })
  const next = loadCertificates({ directory, clock: later(300) })
  assert.equal(next.ca, now.ca)
  assert.equal(next.serviceAccountKey, now.serviceAccountKey)
  assert.notEqual(next.cert, now.cert)
  assert.notEqual(next.adminCert, now.adminCert)
})

test('a key whose certificate was not written yet is replaced', () => {
  const before = loadCertificates({ directory, clock: systemClock })
  writeFileSync(join(directory, 'admin.key'), readFileSync(join(directory, 'apiserver.key')))
  const after = loadCertificates({ directory, clock: systemClock })
  assert.notEqual(after.adminCert, before.adminCert)
  assert.ok(new X509Certificate(after.adminCert).checkIssued(new X509Certificate(after.ca)))
})
