// A hall of any size on one canvas: rows in arcs before the stage, by grade and number.

const GAP = 1.25;
const SIZE = 0.86;
/** Where more seats than these look different, all are painted. */
const FEW = 40;
/** How thick the line around the seat is that is meant by the keyboard, in pixels. */
const MARK = 2.5;

/** Where each seat stands, in units of a seat. */
export function arrange(seats) {
  const grades = group(seats);
  const widest = Math.min(90, Math.max(10, Math.ceil(Math.sqrt(seats.length * 1.9))));
  const placed = [];
  let row = 0;
  for (const members of grades.values()) {
    for (let from = 0; from < members.length; from += widest) {
      const line = members.slice(from, from + widest);
      line.forEach((seat, at) => {
        const x = at - (line.length - 1) / 2;
        placed.push({ seat, x: x * GAP, y: row * GAP + (x * x) / (widest * 3.2) });
      });
      row += 1;
    }
    row += 0.7;
  }
  return placed;
}

/** Seats by their grade. */
export function group(seats) {
  const grades = new Map();
  for (const seat of seats) {
    if (!grades.has(seat.grade)) grades.set(seat.grade, []);
    grades.get(seat.grade).push(seat);
  }
  return grades;
}

/** Whether a seat would be painted as it is already. */
function isAlike(one, other) {
  return one.kind === other?.kind && one.strength === other.strength && one.number === other.number && one.isMeant === other.isMeant;
}

/** How far from its middle a seat is painted: one's own has a ring, the one that is meant by the keyboard a thicker line. */
function reachOf({ kind, isMeant }, size) {
  return size * (kind === "mine" ? 0.62 : 0.5) + (isMeant ? MARK : lineOf(size)) / 2;
}

function lineOf(size) {
  return Math.max(1, size * 0.08);
}

/** Draws seats, zooms, and tells which one is meant. */
export class SeatMap {
  #placed = [];
  #view = { x: 0, y: 0, scale: 20 };
  #at = 0;
  /** What is on the canvas: in which view, and how each seat looks. */
  #painted = { view: "", looks: [] };
  #pointers = new Map();
  #moved = 0;

  constructor(canvas, { choose, meant, isMine }) {
    Object.assign(this, { canvas, choose, meant, isMine });
    new ResizeObserver(() => this.fit()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.#up(event));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.#key(event));
    for (const change of ["focus", "blur"]) canvas.addEventListener(change, () => this.draw());
    canvas.addEventListener("contextrestored", () => {
      this.#painted.view = "";
      this.draw();
    });
  }

  /** Shows these seats; of a hall that is not `isNew` only their states have changed, and it stays where it was moved to. */
  show(seats, isNew) {
    if (isNew || seats.length !== this.#placed.length) {
      this.#placed = arrange(seats);
      this.#at = 0;
      return this.fit();
    }
    const byNumber = new Map(seats.map((it) => [it.number, it]));
    for (const place of this.#placed) place.seat = byNumber.get(place.seat.number) ?? place.seat;
    this.draw();
  }

  /** Shows the whole hall. */
  fit() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!this.#placed.length || !width) return;
    const xs = this.#placed.map((it) => it.x);
    const ys = this.#placed.map((it) => it.y);
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const scale = Math.min((width - 24) / (right - left + 2), (height - 72) / (bottom - top + 2), 44);
    this.#view = { scale, x: width / 2 - ((left + right) / 2) * scale, y: 44 + (height - 60 - (bottom - top) * scale) / 2 - top * scale };
    this.draw();
  }

  zoom(by, atX = this.canvas.clientWidth / 2, atY = this.canvas.clientHeight / 2) {
    const scale = Math.min(70, Math.max(3, this.#view.scale * by));
    const ratio = scale / this.#view.scale;
    this.#view = { scale, x: atX - (atX - this.#view.x) * ratio, y: atY - (atY - this.#view.y) * ratio };
    this.draw();
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.#paint());
  }

  /** Paints all seats in view where the view is another, else those that look different from what is on the canvas. */
  #paint() {
    const { canvas } = this;
    const density = devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = canvas;
    // A canvas that gets a size is empty from then on, also when it had the same.
    const [across, down] = [width, height].map((it) => Math.round(it * density));
    if (canvas.width !== across || canvas.height !== down) [canvas.width, canvas.height] = [across, down];
    const style = getComputedStyle(document.documentElement);
    const colours = Object.fromEntries(["free", "mine", "gone", "held", "ink", "card", "soft"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    const grades = [...new Set(this.#placed.map((it) => it.seat.grade))];
    const size = this.#view.scale * SIZE;
    const pen = canvas.getContext("2d");
    pen.setTransform(density, 0, 0, density, 0, 0);
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.font = `600 ${size * 0.36}px system-ui, sans-serif`;

    const places = this.#placed.map((it) => this.#onScreen(it));
    const looks = this.#placed.map(({ seat }, index) => this.#look(seat, index, grades));
    const view = JSON.stringify([width, height, density, this.#view, colours, grades]);
    const isSame = view === this.#painted.view && looks.length === this.#painted.looks.length;
    const before = isSame ? this.#painted.looks : [];
    this.#painted = { view, looks };
    const isIn = ([x, y], reach, [left, top, right, bottom]) => x > left - reach && y > top - reach && x < right + reach && y < bottom + reach;
    const whole = [0, 0, width, height];
    // Whole pixels, so that no edge is seen where an area was painted again.
    const [floor, ceil] = [Math.floor, Math.ceil].map((round) => (it) => round(it * density) / density);
    const areas = [];
    looks.forEach((look, index) => {
      if (!isSame || isAlike(look, before[index])) return;
      const [x, y] = places[index];
      const reach = Math.max(reachOf(look, size), reachOf(before[index], size));
      if (isIn([x, y], reach, whole)) areas.push([floor(x - reach), floor(y - reach), ceil(x + reach), ceil(y + reach)]);
    });
    for (const area of isSame && areas.length <= FEW ? areas : [whole]) {
      const [left, top, right, bottom] = area;
      pen.save();
      pen.beginPath();
      pen.rect(left, top, right - left, bottom - top);
      pen.clip();
      pen.clearRect(left, top, right - left, bottom - top);
      looks.forEach((look, index) => isIn(places[index], reachOf(look, size), area) && this.#paintSeat(pen, look, places[index], size, colours));
      pen.restore();
    }
  }

  #look(seat, index, grades) {
    const kind = this.isMine(seat) ? "mine" : { available: "free", held: "held" }[seat.state] ?? "gone";
    // A dearer grade is stronger.
    const strength = kind === "free" ? 1 - (grades.indexOf(seat.grade) / Math.max(1, grades.length)) * 0.55 : 1;
    return { kind, strength, number: seat.number, isMeant: index === this.#at && document.activeElement === this.canvas };
  }

  #paintSeat(pen, { kind, strength, number, isMeant }, [x, y], size, colours) {
    const isFull = kind === "free" || kind === "mine";
    pen.globalAlpha = strength;
    pen.fillStyle = pen.strokeStyle = colours[kind];
    pen.lineWidth = lineOf(size);
    pen.beginPath();
    pen.roundRect(x - size / 2, y - size / 2, size, size, size * 0.28);
    // What cannot be chosen is hollow, what is one's own has a ring: colour alone tells nothing.
    if (isFull) pen.fill();
    else pen.stroke();
    pen.globalAlpha = 1;
    if (kind === "mine") {
      pen.beginPath();
      pen.roundRect(x - size * 0.62, y - size * 0.62, size * 1.24, size * 1.24, size * 0.36);
      pen.stroke();
    }
    if (size > 18) {
      pen.fillStyle = isFull ? colours.card : colours.soft;
      pen.fillText(kind === "gone" ? "×" : String(number), x, y + 0.5);
    }
    if (isMeant) {
      pen.strokeStyle = colours.ink;
      pen.lineWidth = MARK;
      pen.stroke();
    }
  }

  #onScreen({ x, y }) {
    return [x * this.#view.scale + this.#view.x, y * this.#view.scale + this.#view.y];
  }

  #nearest(screenX, screenY) {
    const [x, y] = [(screenX - this.#view.x) / this.#view.scale, (screenY - this.#view.y) / this.#view.scale];
    let best = -1;
    let least = 0.8;
    this.#placed.forEach((place, index) => {
      const distance = Math.hypot(place.x - x, place.y - y);
      if (distance < least) [best, least] = [index, distance];
    });
    return best;
  }

  #down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    this.#moved = 0;
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = [event.offsetX, event.offsetY];
    const others = [...this.#pointers].filter(([id]) => id !== event.pointerId);
    if (others.length) {
      const [, [x, y]] = others[0];
      this.zoom(Math.hypot(now[0] - x, now[1] - y) / Math.max(1, Math.hypot(before[0] - x, before[1] - y)), x, y);
    } else {
      this.#view.x += now[0] - before[0];
      this.#view.y += now[1] - before[1];
      this.draw();
    }
    this.#moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    this.#pointers.set(event.pointerId, now);
  }

  #up(event) {
    if (!this.#pointers.delete(event.pointerId) || event.type === "pointercancel" || this.#moved > 8) return;
    const found = this.#nearest(event.offsetX, event.offsetY);
    if (found < 0) return;
    this.#at = found;
    this.choose(this.#placed[found].seat);
    this.draw();
  }

  #key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const here = this.#placed[this.#at];
    if (!here) return;
    if (step) {
      event.preventDefault();
      const ahead = (it) => (it.x - here.x) * step[0] + (it.y - here.y) * step[1];
      const aside = (it) => Math.abs((it.x - here.x) * step[1]) + Math.abs((it.y - here.y) * step[0]);
      const cost = (it) => ahead(it) + aside(it) * 2.5;
      let best = -1;
      this.#placed.forEach((it, index) => {
        if (ahead(it) > 0.3 && (best < 0 || cost(it) < cost(this.#placed[best]))) best = index;
      });
      if (best >= 0) this.#at = best;
      this.meant(this.#placed[this.#at].seat);
      this.draw();
    } else if (event.key === " " || event.key === "Enter") {
      event.preventDefault();
      this.choose(here.seat);
      this.draw();
    } else if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? 1.25 : 0.8);
  }
}
