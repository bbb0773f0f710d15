/** The build checks: every warning has a name, a message and a page. Names and wording are those of Docker's build checks. */

interface Rule {
  description: string
  /** Reported only when the check directive asks for it. */
  experimental?: boolean
  message(...values: string[]): string
}

const rule = (description: string, message: Rule['message'], experimental = false): Rule => ({
  description,
  message,
  experimental,
})

export const ruleset = {
  StageNameCasing: rule('Stage names should be lowercase', (name) => `Stage name '${name}' should be lowercase`),
  FromAsCasing: rule(
    "The 'as' keyword should match the case of the 'from' keyword",
    (as, from) => `'${as}' and '${from}' keywords' casing do not match`,
  ),
  NoEmptyContinuation: rule(
    'Empty continuation lines will become errors in a future release',
    () => 'Empty continuation line',
  ),
  ConsistentInstructionCasing: rule(
    'All commands within the Dockerfile should use the same casing (either upper or lower)',
    (command, casing) => `Command '${command}' should match the case of the command majority (${casing})`,
  ),
  DuplicateStageName: rule(
    'Stage names should be unique',
    (name) => `Duplicate stage name "${name}", stage names should be unique`,
  ),
  ReservedStageName: rule(
    'Reserved words should not be used as stage names',
    (name) => `Stage name should not use the same name as reserved stage "${name}"`,
  ),
  JSONArgsRecommended: rule(
    'JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals',
    (name) => `JSON arguments recommended for ${name} to prevent unintended behavior related to OS signals`,
  ),
  MaintainerDeprecated: rule(
    'The MAINTAINER instruction is deprecated, use a label instead to define an image author',
    () => 'Maintainer instruction is deprecated in favor of using label',
  ),
  UndefinedArgInFrom: rule(
    'FROM command must use declared ARGs',
    (name, near) => `FROM argument '${name}' is not declared${near ? ` (did you mean ${near}?)` : ''}`,
  ),
  WorkdirRelativePath: rule(
    'Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes',
    (path) => `Relative workdir "${path}" can have unexpected results if the base image changes`,
  ),
  UndefinedVar: rule(
    'Variables should be defined before their use',
    (name, near) => `Usage of undefined variable '$${name}'${near ? ` (did you mean $${near}?)` : ''}`,
  ),
  MultipleInstructionsDisallowed: rule(
    'Multiple instructions of the same type should not be used in the same stage',
    (name) =>
      `Multiple ${name} instructions should not be used in the same stage because only the last one will be used`,
  ),
  LegacyKeyValueFormat: rule(
    'Legacy key/value format with whitespace separator should not be used',
    (name) => `"${name} key=value" should be used instead of legacy "${name} key value" format`,
  ),
  InvalidBaseImagePlatform: rule(
    'Base image platform does not match expected target platform',
    (image, found, expected) =>
      `Base image ${image} was pulled with platform "${found}", expected "${expected}" for current build`,
  ),
  RedundantTargetPlatform: rule(
    'Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior',
    (written) => `Setting platform to predefined ${written} in FROM is redundant as this is the default behavior`,
  ),
  SecretsUsedInArgOrEnv: rule(
    'Sensitive data should not be used in the ARG or ENV commands',
    (instruction, name) => `Do not use ARG or ENV instructions for sensitive data (${instruction} "${name}")`,
  ),
  InvalidDefaultArgInFrom: rule(
    'Default value for global ARG results in an empty or invalid base image name',
    (name) => `Default value for ARG ${name} results in empty or invalid base image name`,
  ),
  FromPlatformFlagConstDisallowed: rule(
    'FROM --platform flag should not use a constant value',
    (platform) => `FROM --platform flag should not use constant value "${platform}"`,
  ),
  CopyIgnoredFile: rule(
    'Attempting to Copy file that is excluded by .dockerignore',
    (verb, file) => `Attempting to ${verb} file "${file}" that is excluded by .dockerignore`,
  ),
  InvalidDefinitionDescription: rule(
    'Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.',
    (instruction, name) => `Comment for ${instruction} should follow the format: \`# ${name} <description>\``,
    true,
  ),
  ExposeProtoCasing: rule(
    'Protocol in EXPOSE instruction should be lowercase',
    (port) => `Defined protocol '${port}' in EXPOSE instruction should be lowercase`,
  ),
  ExposeInvalidFormat: rule(
    'IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release',
    (port) => `EXPOSE instruction should not define an IP address or host-port mapping, found '${port}'`,
  ),
} satisfies Record<string, Rule>

export type RuleName = keyof typeof ruleset
export const ruleOf = (name: RuleName): Rule => ruleset[name]

/** '' for the one that has no page. */
export const urlOf = (name: RuleName): string => {
  if (name === 'InvalidBaseImagePlatform') return ''
  const page = name
    .replace(/([a-z])([A-Z])/g, '$1-$2')
    .replace(/([A-Z]+)([A-Z][a-z])/g, '$1-$2')
    .toLowerCase()
  return `https://docs.docker.com/go/dockerfile/rule/${page}/`
}
