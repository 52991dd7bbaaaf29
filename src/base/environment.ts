/** The one home of the process environment. Everything else gets values, or this function, as an argument. */

/** Returns the variable's value, or undefined where it is not set. */
export function readEnvironment(name: string): string | undefined {
  return process.env[name];
}
