import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDockerfile } from '../dockerfile/parser.ts'
import { plan } from '../solver/plan.fixture.ts'
import { createLint } from './lint.ts'
import type { RuleName } from './ruleset.ts'
import { ruleset, urlOf } from './ruleset.ts'
import { checkStatements } from './structure.ts'

/** Rule → a file that breaks it, the one finding expected, options. */
const cases: [RuleName, string, string, object?][] = [
  ['StageNameCasing', 'FROM a AS Base', "1 StageNameCasing: Stage name 'Base' should be lowercase"],
  ['FromAsCasing', 'FROM a as base', "1 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"],
  ['NoEmptyContinuation', 'FROM a\nRUN a \\\n\n b', '4 NoEmptyContinuation: Empty continuation line'],
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
    'FROM a\nARG version=1\nENV q=$verison r=$version',
    "3 UndefinedVar: Usage of undefined variable '$verison' (did you mean $version?)",
  ],
  [
    'MultipleInstructionsDisallowed',
    'FROM a\nCMD ["a"]\nCMD ["b"]',
    '2 MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used',
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
    if (rule === 'InvalidDefinitionDescription') return
    assert.deepEqual((await plan(`# check=skip=${rule}\n${text}`, options)).warnings, [])
  })

const found = async (text: string, options?: object): Promise<string[]> =>
  (await plan(text, options)).warnings.map((warning) => warning.split(':')[0]!)

test('what has to be asked for is not skipped with the others', async () => {
  const text = '\n# other\nFROM a AS Base\n# neither\nARG X=1 Y=2\n#\nARG Z\n# Y is it\nARG X Y\n'
  assert.deepEqual(await found(text), ['3 StageNameCasing'])
  const asked = '# check=skip=all,InvalidDefinitionDescription;experimental=InvalidDefinitionDescription'
  assert.deepEqual(await found(asked + text), [
    '3 StageNameCasing',
    '3 InvalidDefinitionDescription',
    '5 InvalidDefinitionDescription',
  ])
  assert.deepEqual(await found(`# check=experimental=all;skip=all${text}`), [
    '3 InvalidDefinitionDescription',
    '5 InvalidDefinitionDescription',
  ])
})

test('a comment above an instruction skips for that one alone', async () => {
  const above = '# check=skip=LegacyKeyValueFormat // for a reason; all the same'
  assert.deepEqual(await found(`\nFROM a\n${above}\nENV a b\nENV c d`), ['5 LegacyKeyValueFormat'])
  assert.deepEqual(await found('\nFROM a\n# check=skip=all\n# and why\nENV a b\nENV c d'), ['6 LegacyKeyValueFormat'])
  assert.deepEqual(await found('\nFROM a\n# check=skip=all\n\nENV a b'), ['5 LegacyKeyValueFormat'])
  assert.deepEqual(await found('\nFROM a\n# check=nonsense\nENV a b'), ['4 LegacyKeyValueFormat'])
  // The directive itself is none.
  assert.deepEqual(await found('# check=skip=all\nFROM a AS B', { check: '' }), ['2 StageNameCasing'])
})

test('options that are none', async () => {
  const refused = async (text: string, message: string, options?: object) =>
    await assert.rejects(plan(text, options), { message })
  await refused('# check=eror=1\nFROM a', 'failed to parse check options: invalid check option "eror"')
  await refused(
    '# check=error=yes\nFROM a',
    'failed to parse check options: failed to parse check option "error=yes": strconv.ParseBool: parsing "yes": invalid syntax',
  )
  const check = { check: 'skip' }
  await refused('FROM a', 'failed to parse build-arg:BUILDKIT_DOCKERFILE_CHECK: invalid check option "skip"', check)
})

test('stages that the target does not need are looked at on demand', async () => {
  const text = 'FROM a AS one\nCOPY $x .\nFROM a\nCOPY $y .'
  assert.deepEqual(await found(text), ['4 UndefinedVar'])
  assert.deepEqual(await found(text, { whole: true }), ['2 UndefinedVar', '4 UndefinedVar'])
})

test('what stands above an instruction that is wrong', () => {
  const warnings: string[] = []
  const read = (): unknown =>
    parseDockerfile('Dockerfile', 'FROM a AS B\nMAINTAINER x\nrum y\nFROM c AS D', (above) =>
      checkStatements(
        above,
        createLint(above, undefined, ({ rule, at }) => warnings.push(`${at.line} ${rule}`)),
      ),
    )
  assert.throws(read, { message: 'dockerfile parse error on line 3: unknown instruction: rum (did you mean run?)' })
  assert.deepEqual(warnings, ['1 StageNameCasing', '2 MaintainerDeprecated'])
})

test('instructions are named as they are written', async () => {
  const { warnings } = await plan('from a\ncmd x\nenv a b')
  assert.deepEqual(warnings, [
    '2 JSONArgsRecommended: JSON arguments recommended for cmd to prevent unintended behavior related to OS signals',
    '3 LegacyKeyValueFormat: "env key=value" should be used instead of legacy "env key value" format',
  ])
})

test('files that .dockerignore leaves out', async () => {
  const ignored = async (ignore: string[], source: string): Promise<number> =>
    (await found(`FROM a\nCOPY ${source} /x`, { ignore })).length
  assert.equal(await ignored(['docs'], 'docs/a.md'), 1)
  assert.equal(await ignored(['docs', '!docs/b.md', '!other/*.md'], 'docs/a.md'), 1)
  assert.equal(await ignored(['docs', '!docs/a'], 'docs/a.md'), 1)
  assert.equal(await ignored(['docs', '!docs/a.md'], 'docs'), 0)
  assert.equal(await ignored(['docs', '!*/a.md'], 'docs'), 0)
  assert.equal(await ignored(['**', '!docs'], 'docs/a.md'), 0)
  assert.equal(await ignored(['*'], '.'), 1)
  assert.equal(await ignored(['.*'], '.'), 0)
  assert.equal(await ignored(['**', '!docs'], '.'), 0)
})

test('platforms that come to nothing', async () => {
  await assert.rejects(plan('FROM --platform=$BUILDPLATFROM a'), {
    message: 'empty platform value from expression $BUILDPLATFROM (did you mean BUILDPLATFORM?)',
  })
  await assert.rejects(plan('ARG CPU=arm64\nFROM --platform=linux/$CPV a'), {
    message:
      'failed to parse platform linux/$CPV: "" is an invalid component of "linux/": platform specifier component must match "^[A-Za-z0-9_.-]+$": invalid argument (did you mean CPU?)',
  })
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
  assert.equal(urlOf('InvalidBaseImagePlatform'), '')
})
