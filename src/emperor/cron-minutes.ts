/**
 * A set of minutes since 1970, as few spans: those that the scheduler has lived through. A clock that goes back shows
 * minutes again; what is in the set has been dealt with. Pure.
 */

export type Span = readonly [first: number, last: number];

/** A clock that jumps about makes spans; the oldest are forgotten. */
const MAX_SPANS = 64;

export class Minutes {
  /** In ascending order, with gaps between. */
  #spans: Span[] = [];

  constructor(spans: readonly Span[] = []) {
    for (const [first, last] of spans) this.add(first, last);
  }

  get spans(): readonly Span[] {
    return this.#spans;
  }

  has(minute: number): boolean {
    return this.#spans.some(([first, last]) => minute >= first && minute <= last);
  }

  /** The last minute before `minute` that is in the set; undefined if there is none. */
  lastBefore(minute: number): number | undefined {
    const span = this.#spans.findLast(([first]) => first < minute);
    return span && Math.min(span[1], minute - 1);
  }

  add(first: number, last: number = first): void {
    const touching = this.#spans.filter((span) => span[1] >= first - 1 && span[0] <= last + 1);
    const others = this.#spans.filter((span) => !touching.includes(span));
    const joined: Span = [
      Math.min(first, ...touching.map((span) => span[0])),
      Math.max(last, ...touching.map((span) => span[1])),
    ];
    this.#spans = [...others, joined].sort((a, b) => a[0] - b[0]).slice(-MAX_SPANS);
  }
}
