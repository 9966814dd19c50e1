// 화면과 일꾼(worker)이 한 파일에 있다. 일꾼에서는 document가 없다.
// 이미지는 이 기기를 떠나지 않는다. 받아 오는 것은 이 폴더의 파일뿐이다.

const TEXTS = {
  ko: {
    intro: "사진을 이 기기 안에서 키웁니다. 사진은 어디에도 보내지 않습니다.",
    file: "사진", drop: "여기에 끌어다 놓아도 됩니다.", model: "모델", backend: "계산하는 곳",
    auto: "알아서(WebGPU, 없으면 WASM)", start: "시작", cancel: "그만", slider: "앞뒤 견주기",
    download: "결과 내려받기(PNG)", licenses: "라이선스",
    notes: "결과는 8비트 sRGB의 PNG입니다. EXIF 같은 메타데이터는 옮기지 않고, 움직이는 이미지는 첫 프레임만 키웁니다.",
    before: "원본", after: "키운 것",
    loading: (percent) => `모델을 싣는 중 ${percent}%`,
    preparing: (backend) => `준비하는 중 (${backend})`,
    running: (done, total, left) => `타일 ${done}/${total}, 남은 시간 ${left}`,
    done: (width, height, spent, backend) => `끝났습니다: ${width}x${height}, ${spent} (${backend})`,
    cancelled: "그만두었습니다. 남은 것은 없습니다.",
    fallback: "WebGPU를 쓸 수 없어 WASM으로 계산합니다.",
    seconds: (value) => `${value}초`, minutes: (value) => `${value}분`,
    image: (why) => `사진을 읽을 수 없습니다.\n이유: ${why}\n해결: 브라우저가 여는 사진(jpg, png, webp 등)을 고르세요.`,
    fetch: (why) => `모델을 받아 오지 못했습니다.\n이유: ${why}\n해결: 이 폴더를 다시 지어 웹 서버로 여세요.`,
    compute: (why) => `계산하지 못했습니다.\n이유: ${why}\n해결: 더 작은 사진이나 가벼운 모델을 쓰거나, 계산하는 곳을 WASM으로 바꾸세요.`,
  },
  en: {
    intro: "Enlarges a picture inside this device. The picture is not sent anywhere.",
    file: "Picture", drop: "You can also drop it here.", model: "Model", backend: "Compute on",
    auto: "Automatic (WebGPU, else WASM)", start: "Start", cancel: "Cancel", slider: "Compare before and after",
    download: "Download the result (PNG)", licenses: "Licenses",
    notes: "The result is an 8-bit sRGB PNG. Metadata such as EXIF is not carried over; only the first frame of an animation is enlarged.",
    before: "Original", after: "Enlarged",
    loading: (percent) => `Loading the model ${percent}%`,
    preparing: (backend) => `Preparing (${backend})`,
    running: (done, total, left) => `Tile ${done}/${total}, ${left} left`,
    done: (width, height, spent, backend) => `Done: ${width}x${height}, ${spent} (${backend})`,
    cancelled: "Cancelled. Nothing is left behind.",
    fallback: "WebGPU is not available; computing with WASM.",
    seconds: (value) => `${value} s`, minutes: (value) => `${value} min`,
    image: (why) => `The picture cannot be read.\nReason: ${why}\nRemedy: choose one the browser opens (jpg, png, webp, ...).`,
    fetch: (why) => `The model could not be loaded.\nReason: ${why}\nRemedy: build this folder again and open it through a web server.`,
    compute: (why) => `The computation failed.\nReason: ${why}\nRemedy: use a smaller picture or a lighter model, or compute with WASM.`,
  },
};

// ---- 순수한 계산

// 이미지를 겹치는 타일로 나눈다. 파이썬의 plan_tiles와 같다. 단위는 입력 픽셀이다.
function planTiles(height, width, tile, pad, multiple) {
  const step = Math.ceil(tile / multiple) * multiple;
  const margin = Math.ceil(pad / multiple) * multiple;
  const strips = [];
  for (let top = 0; top < height; top += step) {
    const tiles = [];
    const bottom = Math.min(top + step, height);
    for (let left = 0; left < width; left += step) {
      const right = Math.min(left + step, width);
      tiles.push({
        top, left, bottom, right,
        readTop: Math.max(top - margin, 0), readLeft: Math.max(left - margin, 0),
        readBottom: Math.min(bottom + margin, height), readRight: Math.min(right + margin, width),
      });
    }
    strips.push({ top, bottom, tiles });
  }
  return strips;
}

// 배수에 모자라는 줄은 가장자리를 되비쳐 채운다.
function mirrored(index, length) {
  if (length === 1) return 0;
  const period = 2 * (length - 1);
  const folded = index % period;
  return folded < length ? folded : period - folded;
}

// RGBA 바이트에서 읽을 상자를 (3, h, w) 실수 0..1로 옮긴다. 패딩한 크기를 쓴다.
function readPlanes(pixels, width, height, box) {
  const rows = box.readBottom - box.readTop, columns = box.readRight - box.readLeft, area = rows * columns;
  const planes = new Float32Array(3 * area);
  for (let y = 0; y < rows; y++) {
    const line = mirrored(box.readTop + y, height) * width;
    for (let x = 0; x < columns; x++) {
      const source = 4 * (line + mirrored(box.readLeft + x, width)), target = y * columns + x;
      planes[target] = pixels[source] / 255;
      planes[area + target] = pixels[source + 1] / 255;
      planes[2 * area + target] = pixels[source + 2] / 255;
    }
  }
  return { planes, rows, columns };
}

// 타일의 결과를 띠의 바이트에 옮긴다. 밖으로 나온 값은 0..1로 자르고 반올림한다.
function writeTile(output, box, columns, scale, strip, stripTop, stripWidth, channels) {
  const area = (box.readBottom - box.readTop) * columns * scale * scale, line = columns * scale;
  const right = Math.min(box.right * scale, stripWidth);
  for (let y = box.top * scale; y < box.bottom * scale; y++) {
    if ((y - stripTop) * stripWidth * channels >= strip.length) break;
    const from = (y - box.readTop * scale) * line - box.readLeft * scale;
    let target = ((y - stripTop) * stripWidth + box.left * scale) * channels;
    for (let x = box.left * scale; x < right; x++, target += channels) {
      for (let channel = 0; channel < 3; channel++) {
        const value = output[channel * area + from + x];
        strip[target + channel] = value <= 0 ? 0 : value >= 1 ? 255 : Math.round(value * 255);
      }
    }
  }
}

// 투명한 픽셀에 이웃의 색을 번지게 한다. 투명한 곳의 검정이 가장자리에 테두리를 남기지 않게 한다.
function spreadColour(pixels, width, height, passes) {
  let known = new Uint8Array(width * height);
  for (let index = 0; index < known.length; index++) known[index] = pixels[4 * index + 3] > 0 ? 1 : 0;
  for (let pass = 0; pass < passes; pass++) {
    const next = known.slice();
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const index = y * width + x;
        if (known[index]) continue;
        const sum = [0, 0, 0];
        let count = 0;
        for (const [dy, dx] of [[-1, 0], [1, 0], [0, -1], [0, 1]]) {
          const row = y + dy, column = x + dx, near = row * width + column;
          if (row < 0 || column < 0 || row >= height || column >= width || !known[near]) continue;
          for (let channel = 0; channel < 3; channel++) sum[channel] += pixels[4 * near + channel];
          count++;
        }
        if (!count) continue;
        for (let channel = 0; channel < 3; channel++) pixels[4 * index + channel] = Math.round(sum[channel] / count);
        next[index] = 1;
      }
    }
    known = next;
  }
}

// 알파는 쌍선형(bilinear)으로 키운다.
function writeAlpha(pixels, width, height, scale, strip, stripTop, stripWidth) {
  const rows = strip.length / (4 * stripWidth);
  for (let row = 0; row < rows; row++) {
    const y = Math.max((stripTop + row + 0.5) / scale - 0.5, 0), y0 = Math.min(Math.floor(y), height - 1);
    const y1 = Math.min(y0 + 1, height - 1), fy = y - y0;
    for (let column = 0; column < stripWidth; column++) {
      const x = Math.max((column + 0.5) / scale - 0.5, 0), x0 = Math.min(Math.floor(x), width - 1);
      const x1 = Math.min(x0 + 1, width - 1), fx = x - x0;
      const at = (line, place) => pixels[4 * (line * width + place) + 3];
      const above = at(y0, x0) * (1 - fx) + at(y0, x1) * fx, below = at(y1, x0) * (1 - fx) + at(y1, x1) * fx;
      strip[4 * (row * stripWidth + column) + 3] = Math.round(above * (1 - fy) + below * fy);
    }
  }
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});

function pngChunk(kind, data) {
  const chunk = new Uint8Array(12 + data.length), view = new DataView(chunk.buffer);
  view.setUint32(0, data.length);
  for (let index = 0; index < 4; index++) chunk[4 + index] = kind.charCodeAt(index);
  chunk.set(data, 8);
  let crc = 0xffffffff;
  for (let index = 4; index < 8 + data.length; index++) crc = CRC_TABLE[(crc ^ chunk[index]) & 255] ^ (crc >>> 8);
  view.setUint32(8 + data.length, (crc ^ 0xffffffff) >>> 0);
  return chunk;
}

// 띠를 받는 대로 압축하는 PNG. 캔버스의 크기 한도와 메모리에 매이지 않는다.
class PngWriter {
  constructor(width, height, channels) {
    this.line = width * channels;
    this.previous = new Uint8Array(this.line);
    const header = new Uint8Array(13), view = new DataView(header.buffer);
    view.setUint32(0, width);
    view.setUint32(4, height);
    header.set([8, channels === 4 ? 6 : 2], 8);
    this.parts = [Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10), pngChunk("IHDR", header)];
    this.parts.push(pngChunk("sRGB", Uint8Array.of(0)));
    const stream = new CompressionStream("deflate");
    this.input = stream.writable.getWriter();
    this.reading = (async () => {
      const reader = stream.readable.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        this.parts.push(pngChunk("IDAT", value));
      }
    })();
  }

  // 줄마다 위 줄과의 차이(Up)로 적는다.
  async write(strip) {
    const rows = strip.length / this.line, filtered = new Uint8Array(rows * (this.line + 1));
    for (let row = 0; row < rows; row++) {
      const from = row * this.line, to = row * (this.line + 1);
      filtered[to] = 2;
      for (let index = 0; index < this.line; index++) {
        const above = row ? strip[from - this.line + index] : this.previous[index];
        filtered[to + 1 + index] = strip[from + index] - above;
      }
    }
    this.previous = strip.slice((rows - 1) * this.line);
    await this.input.write(filtered);
  }

  async finish() {
    await this.input.close();
    await this.reading;
    this.parts.push(pngChunk("IEND", new Uint8Array(0)));
    return new Blob(this.parts, { type: "image/png" });
  }
}

// ---- 일꾼

class NamedError extends Error {
  constructor(kind, error) {
    super(error?.message ?? String(error));
    this.kind = kind;
  }
}

async function fetchModel(model) {
  try {
    const response = await fetch(model.file);
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const reader = response.body.getReader(), content = new Uint8Array(model.bytes);
    let received = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (received + value.length > content.length) throw new Error("too long");
      content.set(value, received);
      received += value.length;
      postMessage({ type: "loading", part: received / model.bytes });
    }
    if (received !== model.bytes) throw new Error(`${received}/${model.bytes}`);
    // 안전한 주소(https, localhost)가 아니면 해시를 셈하는 기능이 없다.
    if (crypto.subtle) {
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
      const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
      if (found !== model.sha256) throw new Error("SHA-256");
    }
    return content;
  } catch (error) {
    throw new NamedError("fetch", error);
  }
}

async function hasWebGpu() {
  try {
    return Boolean(navigator.gpu && (await navigator.gpu.requestAdapter()));
  } catch {
    return false;
  }
}

async function openSession(content, backend) {
  const ort = await import(backend === "webgpu" ? "./ort/ort.webgpu.bundle.min.mjs" : "./ort/ort.wasm.bundle.min.mjs");
  ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
  // 여러 스레드는 서버가 교차 출처 격리(COOP, COEP)의 머리글을 줄 때만 된다.
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 16) : 1;
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(content, { executionProviders: [backend] });
  return { ort, session };
}

async function chooseSession(content, wanted) {
  if (wanted !== "wasm") {
    if (await hasWebGpu()) {
      postMessage({ type: "preparing", backend: "WebGPU" });
      try {
        return { ...(await openSession(content, "webgpu")), backend: "WebGPU" };
      } catch (error) {
        if (wanted === "webgpu") throw new NamedError("compute", error);
      }
    } else if (wanted === "webgpu") {
      throw new NamedError("compute", "WebGPU");
    }
    postMessage({ type: "fallback" });
  }
  postMessage({ type: "preparing", backend: "WASM" });
  try {
    return { ...(await openSession(content, "wasm")), backend: "WASM" };
  } catch (error) {
    throw new NamedError("compute", error);
  }
}

function readPixels(bitmap) {
  try {
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
    context.drawImage(bitmap, 0, 0);
    const pixels = context.getImageData(0, 0, width, height).data;
    let alpha = false;
    for (let index = 3; index < pixels.length && !alpha; index += 4) alpha = pixels[index] < 255;
    if (alpha) spreadColour(pixels, width, height, 16);
    return { pixels, width, height, alpha };
  } catch (error) {
    throw new NamedError("image", error);
  }
}

async function upscale({ model, backend: wanted, bitmap }) {
  const image = readPixels(bitmap), content = await fetchModel(model);
  const { ort, session, backend } = await chooseSession(content, wanted);
  const { scale, multiple, tile, pad } = model, channels = image.alpha ? 4 : 3;
  const padded = [image.height, image.width].map((side) => Math.ceil(side / multiple) * multiple);
  const width = image.width * scale, height = image.height * scale;
  const writer = new PngWriter(width, height, channels);
  const strips = planTiles(padded[0], padded[1], tile, pad, multiple);
  const total = strips.reduce((sum, strip) => sum + strip.tiles.length, 0), started = performance.now();
  let done = 0;
  postMessage({ type: "running", done, total, left: null });
  for (const { top, bottom, tiles } of strips) {
    const rows = Math.min(bottom * scale, height) - top * scale;
    const strip = new Uint8Array(rows * width * channels);
    for (const box of tiles) {
      const { planes, rows: read, columns } = readPlanes(image.pixels, image.width, image.height, box);
      let output;
      try {
        const results = await session.run({ input: new ort.Tensor("float32", planes, [1, 3, read, columns]) });
        output = results.output.data;
      } catch (error) {
        throw new NamedError("compute", error);
      }
      if (output.some(Number.isNaN)) throw new NamedError("compute", "NaN");
      writeTile(output, box, columns, scale, strip, top * scale, width, channels);
      done++;
      const spent = (performance.now() - started) / 1000;
      postMessage({ type: "running", done, total, left: (spent / done) * (total - done) });
    }
    if (image.alpha) writeAlpha(image.pixels, image.width, image.height, scale, strip, top * scale, width);
    await writer.write(strip);
  }
  const blob = await writer.finish();
  postMessage({ type: "done", blob, width, height, backend, spent: (performance.now() - started) / 1000 });
}

function serveWorker() {
  addEventListener("message", async (event) => {
    try {
      await upscale(event.data);
    } catch (error) {
      postMessage({ type: "error", kind: error.kind ?? "compute", reason: error.message ?? String(error) });
    }
  });
}

// ---- 화면

function showPage() {
  const find = (id) => document.getElementById(id);
  const state = { language: "ko", models: [], file: null, worker: null, urls: [] };
  const say = () => TEXTS[state.language];

  function translate(language) {
    state.language = language;
    document.documentElement.lang = language;
    for (const node of document.querySelectorAll("[data-text]")) node.textContent = say()[node.dataset.text];
    find("language").textContent = language === "ko" ? "English" : "한국어";
    find("language").lang = language === "ko" ? "en" : "ko";
    find("before").alt = say().before;
    find("after").alt = say().after;
    describe();
  }

  function describe() {
    const model = state.models[find("model").selectedIndex];
    find("description").textContent = model ? `${model.description[state.language]} (${(model.bytes / 1e6).toFixed(1)}MB)` : "";
  }

  function time(seconds) {
    return seconds < 90 ? say().seconds(Math.max(Math.round(seconds), 1)) : say().minutes(Math.round(seconds / 60));
  }

  function fail(kind, reason) {
    find("error").textContent = say()[kind](reason);
    find("status").textContent = "";
    stop();
  }

  function stop() {
    state.worker?.terminate();
    state.worker = null;
    find("cancel").disabled = true;
    find("start").disabled = !state.file || !state.models.length;
    if (find("result").hidden) find("progress").value = 0;
  }

  function release() {
    for (const url of state.urls.splice(0)) URL.revokeObjectURL(url);
    find("result").hidden = true;
  }

  function addUrl(blob) {
    const url = URL.createObjectURL(blob);
    state.urls.push(url);
    return url;
  }

  function show(message) {
    const texts = say();
    const handlers = {
      loading: () => { find("status").textContent = texts.loading(Math.round(message.part * 100)); },
      preparing: () => { find("status").textContent = texts.preparing(message.backend); },
      fallback: () => { find("status").textContent = texts.fallback; },
      running: () => {
        find("progress").value = message.done / message.total;
        const left = message.left === null ? "?" : time(message.left);
        find("status").textContent = texts.running(message.done, message.total, left);
      },
      done: () => {
        find("before").src = addUrl(state.file);
        find("after").src = find("download").href = addUrl(message.blob);
        find("download").download = `${state.file.name.replace(/\.[^.]*$/, "")}_out.png`;
        find("result").hidden = false;
        find("status").textContent = texts.done(message.width, message.height, time(message.spent), message.backend);
        stop();
      },
      error: () => fail(message.kind, message.reason),
    };
    handlers[message.type]();
  }

  async function start(event) {
    event.preventDefault();
    release();
    find("error").textContent = "";
    find("start").disabled = true;
    find("cancel").disabled = false;
    let bitmap;
    try {
      bitmap = await createImageBitmap(state.file, { imageOrientation: "from-image" });
    } catch (error) {
      fail("image", error.message);
      return;
    }
    const worker = new Worker(new URL(import.meta.url), { type: "module" });
    state.worker = worker;
    worker.addEventListener("message", ({ data }) => { if (worker === state.worker) show(data); });
    worker.addEventListener("error", (failure) => { if (worker === state.worker) fail("compute", failure.message); });
    worker.postMessage({ model: state.models[find("model").selectedIndex], backend: find("backend").value, bitmap }, [bitmap]);
  }

  function choose(file) {
    state.file = file ?? null;
    find("error").textContent = "";
    if (!state.worker) stop();
  }

  find("form").addEventListener("submit", start);
  find("cancel").addEventListener("click", () => {
    stop();
    find("status").textContent = say().cancelled;
  });
  find("file").addEventListener("change", () => choose(find("file").files[0]));
  find("model").addEventListener("change", describe);
  find("slider").addEventListener("input", () => {
    find("after").style.clipPath = `inset(0 0 0 ${find("slider").value}%)`;
  });
  find("language").addEventListener("click", () => translate(state.language === "ko" ? "en" : "ko"));
  for (const kind of ["dragover", "dragleave", "drop"]) {
    find("drop").addEventListener(kind, (event) => {
      event.preventDefault();
      find("drop").classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length) {
        find("file").files = event.dataTransfer.files;
        choose(event.dataTransfer.files[0]);
      }
    });
  }
  fetch("models.json").then((response) => response.json()).then((models) => {
    state.models = models;
    find("model").replaceChildren(...models.map(({ name }) => new Option(name, name)));
    describe();
    choose(find("file").files[0]);
  }).catch((error) => fail("fetch", error.message));
  translate("ko");
}

if (typeof document === "undefined") serveWorker();
else showPage();
