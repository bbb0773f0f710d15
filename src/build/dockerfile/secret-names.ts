const secret = /(?:^|_)(?:apikey|auth|credential|credentials|key|password|pword|passwd|psw|secret|token)(?:$|_)/i
const allowed = /(?:^|_)(?:public|file|version)(?:_|$)/i

/** Does the name of a variable say that its value is a secret? (Rule SecretsUsedInArgOrEnv.) */
export const looksSecret = (name: string): boolean => secret.test(name) && !allowed.test(name)
