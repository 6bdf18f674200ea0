// Numbers and times in the reader's own notation. Times are seconds since the epoch.

const COUNT = new Intl.NumberFormat();
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY_AND_CLOCK = new Intl.DateTimeFormat(undefined, {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});

export const count = (n) => COUNT.format(n);

/** "97.5 %", rounded down: a share is never told better than it is. */
export const percent = (share) => `${Math.floor(share * 1000 + 1e-9) / 10} %`;

/** The same text, with no line break before a percent sign. */
export const unbroken = (text) => text.replaceAll(" %", "\u00a0%");

/** "12:03:20", with the day in front when it is not today. */
export function clock(at, now) {
  const then = new Date(at * 1000);
  const isToday = then.toDateString() === new Date(now * 1000).toDateString();
  return (isToday ? CLOCK : DAY_AND_CLOCK).format(then);
}

/** "in 34 s", "3 min ago". */
export function distance(at, now) {
  const seconds = Math.round(Math.abs(at - now));
  if (seconds < 2) return "now";
  let span = `${Math.floor(seconds / 86400)} d`;
  if (seconds < 60) span = `${seconds} s`;
  else if (seconds < 3600) span = `${Math.floor(seconds / 60)} min`;
  else if (seconds < 2 * 86400) span = `${Math.floor(seconds / 3600)} h`;
  return at > now ? `in ${span}` : `${span} ago`;
}

export const exact = (at) => new Date(at * 1000).toLocaleString(undefined, { dateStyle: "full", timeStyle: "medium" });

export const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);
