import assert from 'node:assert/strict'
import { test } from 'node:test'
import { plan } from '../solver/plan.fixture.ts'
import type { RuleName } from './ruleset.ts'
import { ruleset, urlOf } from './ruleset.ts'

/** Rule → a file that breaks it, the one finding expected, options. */
const cases: [RuleName, string, string, object?][] = [
  ['StageNameCasing', 'FROM a AS Base', "1 StageNameCasing: Stage name 'Base' should be lowercase"],
  ['FromAsCasing', 'FROM a as base', "1 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"],
  ['NoEmptyContinuation', 'FROM a\nRUN a \\\n\n b', '3 NoEmptyContinuation: Empty continuation line'],
  [
    'ConsistentInstructionCasing',
    'FROM a\nRUN x\nrun y',
    "3 ConsistentInstructionCasing: Command 'run' should match the case of the command majority (uppercase)",
  ],
  [
    'DuplicateStageName',
    'FROM a AS b\nFROM a AS b',
    '2 DuplicateStageName: Duplicate stage name "b", stage names should be unique',
  ],
  [
    'ReservedStageName',
    'FROM a AS scratch\nFROM a',
    '1 ReservedStageName: Stage name should not use the same name as reserved stage "scratch"',
  ],
  [
    'JSONArgsRecommended',
    'FROM a\nCMD x',
    '2 JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals',
  ],
  [
    'MaintainerDeprecated',
    'FROM a\nMAINTAINER x',
    '2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label',
  ],
  [
    'UndefinedArgInFrom',
    'ARG VERSION=1\nFROM a:${VERSOIN:-2}$VERSOIN',
    "2 UndefinedArgInFrom: FROM argument 'VERSOIN' is not declared (did you mean VERSION?)",
  ],
  [
    'WorkdirRelativePath',
    'FROM a\nWORKDIR x\nWORKDIR y',
    '2 WorkdirRelativePath: Relative workdir "x" can have unexpected results if the base image changes',
  ],
  [
    'UndefinedVar',
    'FROM a\nARG version\nENV q=$verison r=$version',
    "3 UndefinedVar: Usage of undefined variable '$verison' (did you mean $version?)",
  ],
  [
    'MultipleInstructionsDisallowed',
    'FROM a\nCMD ["a"]\nCMD ["b"]',
    '3 MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used',
  ],
  [
    'LegacyKeyValueFormat',
    'FROM a\nENV a b',
    '2 LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format',
  ],
  [
    'InvalidBaseImagePlatform',
    'FROM a',
    '1 InvalidBaseImagePlatform: Base image a was pulled with platform "linux/amd64", expected "linux/arm64" for current build',
    { platform: 'linux/arm64' },
  ],
  [
    'RedundantTargetPlatform',
    'FROM --platform=$TARGETPLATFORM a',
    '1 RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior',
  ],
  [
    'SecretsUsedInArgOrEnv',
    'FROM a\nARG API_TOKEN\nENV PUBLIC_KEY=x',
    '2 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "API_TOKEN")',
  ],
  [
    'InvalidDefaultArgInFrom',
    'ARG V\nFROM a:$V',
    '2 InvalidDefaultArgInFrom: Default value for ARG a:$V results in empty or invalid base image name',
    { args: { V: '1' } },
  ],
  [
    'FromPlatformFlagConstDisallowed',
    'FROM --platform=linux/amd64 a',
    '1 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/amd64"',
  ],
  [
    'CopyIgnoredFile',
    'FROM a\nCOPY secret.txt ok.txt /',
    '2 CopyIgnoredFile: Attempting to Copy file "secret.txt" that is excluded by .dockerignore',
    { ignore: ['secret*'] },
  ],
  [
    'InvalidDefinitionDescription',
    '# check=experimental=all\n\n# wrong\nFROM a AS base',
    '4 InvalidDefinitionDescription: Comment for FROM should follow the format: `# base <description>`',
  ],
  [
    'ExposeProtoCasing',
    'FROM a\nEXPOSE 80/TcP',
    "2 ExposeProtoCasing: Defined protocol '80/TcP' in EXPOSE instruction should be lowercase",
  ],
  [
    'ExposeInvalidFormat',
    'FROM a\nEXPOSE 127.0.0.1:80:80',
    "2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
  ],
]

test('every rule has a case', () => {
  assert.deepEqual(cases.map(([rule]) => rule).sort(), Object.keys(ruleset).sort())
  assert.equal(cases.length, 22)
})

for (const [rule, text, expected, options] of cases)
  test(rule, async () => {
    assert.deepEqual((await plan(text, options)).warnings, [expected])
    const skipped = text.includes('# check')
      ? `# check=experimental=all;skip=${rule}\n${text.split('\n').slice(1).join('\n')}`
      : `# check=skip=${rule}\n${text}`
    assert.deepEqual((await plan(skipped, options)).warnings, [])
  })

test('a clean file has no findings', async () => {
  const text =
    'ARG V=1\nFROM a:$V AS base\n# base comment\nWORKDIR /x\nARG B\nENV X=$B Y=${Z:-1}\nCOPY . .\nCMD ["x"]\nFROM --platform=$BUILDPLATFORM a AS b\nFROM base\nWORKDIR sub\n'
  assert.deepEqual((await plan(text)).warnings, [])
})

test('error=true fails the build', async () => {
  await assert.rejects(plan('# check=error=true\nFROM a AS Base'), /lint violation found for rules: StageNameCasing/)
})

test('pages', () => {
  assert.equal(urlOf('JSONArgsRecommended'), 'https://docs.docker.com/go/dockerfile/rule/json-args-recommended/')
  assert.equal(urlOf('SecretsUsedInArgOrEnv'), 'https://docs.docker.com/go/dockerfile/rule/secrets-used-in-arg-or-env/')
})
