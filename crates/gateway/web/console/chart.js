// A small chart: one line over the last hour, and a dashed one for its limit.

const HOUR_MS = 3_600_000;
/** So many points are drawn at most; older ones are thinned. */
const MOST = 3_600;

/** Draws what is added on this canvas. */
export function follow(canvas) {
  let points = [];
  const draw = () => requestAnimationFrame(() => paint(canvas, points));
  new ResizeObserver(draw).observe(canvas);
  return {
    add(value, limit = null) {
      points.push({ at: Date.now(), value, limit });
      points = points.filter((it) => it.at > Date.now() - HOUR_MS).slice(-MOST);
      draw();
    },
    /** These points and no others, of whatever time. */
    show(all) {
      points = all;
      draw();
    },
    clear() {
      points = [];
      draw();
    },
  };
}

function paint(canvas, known) {
  // One minute alone is a level too.
  const points = known.length === 1 ? [known[0], { ...known[0], at: known[0].at + 1 }] : known;
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  if (points.length < 2) return;
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const [first, last] = [points[0].at, points.at(-1).at];
  const highest = Math.max(1, ...points.map((it) => it.value)) * 1.1;
  const x = (at) => ((at - first) / Math.max(1, last - first)) * width;
  const y = (value) => height - 2 - (value / highest) * (height - 6);
  const line = (values, close) => {
    pen.beginPath();
    values.forEach(([at, value], index) => (index ? pen.lineTo(x(at), y(value)) : pen.moveTo(x(at), y(value))));
    if (close) {
      pen.lineTo(x(last), height);
      pen.lineTo(x(first), height);
    }
  };
  pen.strokeStyle = colour("--edge");
  pen.lineWidth = 1;
  for (const part of [0.25, 0.5, 0.75]) {
    pen.beginPath();
    pen.moveTo(0, height * part);
    pen.lineTo(width, height * part);
    pen.stroke();
  }
  const values = points.map((it) => [it.at, it.value]);
  pen.fillStyle = colour("--accent");
  pen.globalAlpha = 0.14;
  line(values, true);
  pen.fill();
  pen.globalAlpha = 1;
  pen.strokeStyle = colour("--accent-text");
  pen.lineWidth = 2;
  pen.lineJoin = "round";
  line(values);
  pen.stroke();
  const limits = points.filter((it) => it.limit !== null && it.limit <= highest).map((it) => [it.at, it.limit]);
  pen.setLineDash([4, 4]);
  pen.strokeStyle = colour("--warn");
  line(limits);
  pen.stroke();
}
