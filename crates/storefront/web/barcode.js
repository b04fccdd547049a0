// A bar code that any scanner at a door reads: Code 128, set B.

/** Widths of bars and gaps, by value; then the three starts and the stop. */
const WIDTHS = ("212222 222122 222221 121223 121322 131222 122213 122312 132212 221213 221312 231212 112232 122132 122231 113222 123122 123221 223211 "
  + "221132 221231 213212 223112 312131 311222 321122 321221 312212 322112 322211 212123 212321 232121 111323 131123 131321 112313 132113 132311 211313 "
  + "231113 231311 112133 112331 132131 113123 113321 133121 313121 211331 231131 213113 213311 213131 311123 311321 331121 312113 312311 332111 314111 "
  + "221411 431111 111224 111422 121124 121421 141122 141221 112214 112412 122114 122411 142112 142211 241211 221114 413111 241112 134111 111242 121142 "
  + "121241 114212 124112 124211 411212 421112 421211 212141 214121 412121 111143 111341 131141 114113 114311 411113 411311 113141 114131 311141 411131 "
  + "211412 211214 211232 2331112").split(" ");
const START_B = 104;
const STOP = 106;
const QUIET = 10;

/** The values of a text of visible ASCII, with start, check and stop. */
export function values(text) {
  const letters = [...text].map((letter) => letter.charCodeAt(0) - 32);
  const check = letters.reduce((sum, value, at) => sum + value * (at + 1), START_B) % 103;
  return [START_B, ...letters, check, STOP];
}

/** Draws it on a canvas, one point for the thinnest bar. */
export function draw(canvas, text) {
  const widths = values(text).map((value) => WIDTHS[value]).join("");
  const whole = [...widths].reduce((sum, it) => sum + Number(it), 2 * QUIET);
  canvas.width = whole * 2;
  canvas.height = 80;
  const pen = canvas.getContext("2d");
  let x = QUIET;
  [...widths].forEach((width, at) => {
    if (at % 2 === 0) pen.fillRect(x * 2, 0, Number(width) * 2, canvas.height);
    x += Number(width);
  });
}
