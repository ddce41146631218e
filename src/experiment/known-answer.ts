/**
 * The closed form beside the estimate of `known-answer.yaml`: availability of a function whose errors are a Poisson
 * process of rate l and whose recovery takes a constant R, over a time T that begins with a healthy function.
 *
 * Failures begin as an alternating renewal process: the first after 1/l on average, then after m = 1/l + R. By the
 * renewal theorem with its second term their expected number up to t is M(t) = (t - 1/l)/m + E[X^2]/(2 m^2), where
 * E[X^2] = 1/l^2 + m^2; the rest falls off like exp(-t/m). The expected time down is the integral of M over the last
 * R, so R M(T - R/2). For long T the availability is 1/(1 + l R). Source: Cox 1962, "Renewal Theory", 4.2, 7.2.
 */
export const availabilityFormula =
  "1 - (R/T) ((T - R/2 - 1/l)/m + (1/l^2 + m^2)/(2 m^2)), m = 1/l + R; 1/(1 + l R) for long T";

export function poissonAvailability(
  ratePerHour: number,
  recoverySeconds: number,
  hours: number,
): number {
  const up = 3600 / ratePerHour;
  const total = hours * 3600;
  const cycle = up + recoverySeconds;
  const failures =
    (total - recoverySeconds / 2 - up) / cycle + (up * up + cycle * cycle) / (2 * cycle * cycle);
  return 1 - (recoverySeconds / total) * failures;
}
