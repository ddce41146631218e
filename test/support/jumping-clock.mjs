/** Loaded before the daemon: its wall clock jumps by a year, forwards or backwards, at every second reading. */
const real = Date.now;
const year = 365 * 86_400_000;
let readings = 0;
Date.now = () => real() + [0, year, 0, -year][readings++ % 4];
