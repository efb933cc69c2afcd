// Shows the camera, sends frames to the server one after another, and shows the answers.
"use strict";

const WIDTH_PX = 640; // of a frame that is sent
const QUALITY = 0.9; // of its JPEG, 0 to 1
const EVERY_MS = 80; // the server takes at most 15 frames a second
const RETRY_MS = 1000;
const COLOURS = { real: "#22c55e", fake: "#ef4444", checking: "#facc15" };

const camera = document.getElementById("camera");
const video = document.getElementById("video");
const overlay = document.getElementById("overlay");
const message = document.getElementById("message");
const start = document.getElementById("start");
const again = document.getElementById("again");
const token = document.querySelector("meta[name=csrf-token]").content;
const frame = document.createElement("canvas");
let stream = null;

function wait(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}

function say(text) {
  if (message.textContent !== text) {
    message.textContent = text;
  }
}

// Ends with a text; the person may start again.
function end(text) {
  if (stream) {
    stream.getTracks().forEach((track) => track.stop());
  }
  stream = null;
  say(text);
  start.hidden = true;
  again.hidden = false;
}

function post(url, body) {
  const headers = { "X-CSRFToken": token };
  if (body) {
    headers["Content-Type"] = "image/jpeg";
  }
  return fetch(url, { method: "POST", headers, body, redirect: "error" });
}

function takeFrame() {
  frame.width = Math.min(WIDTH_PX, video.videoWidth);
  frame.height = Math.round((frame.width * video.videoHeight) / video.videoWidth);
  frame.getContext("2d").drawImage(video, 0, 0, frame.width, frame.height);
  return new Promise((done) => frame.toBlob(done, "image/jpeg", QUALITY));
}

function label(face) {
  if (face.reason || face.score === null) {
    return face.reason || "";
  }
  return `${face.label} ${face.score.toFixed(2)}`;
}

function draw(answer) {
  const ratio = window.devicePixelRatio || 1;
  overlay.width = overlay.clientWidth * ratio;
  overlay.height = overlay.clientHeight * ratio;
  const pen = overlay.getContext("2d");
  const [width, height] = answer.size;
  const scale = Math.min(overlay.width / width, overlay.height / height);
  const left = (overlay.width - width * scale) / 2;
  const top = (overlay.height - height * scale) / 2;
  pen.lineWidth = 3 * ratio;
  pen.font = `600 ${16 * ratio}px system-ui, sans-serif`;
  for (const face of answer.faces) {
    const [xMin, yMin, xMax, yMax] = face.box;
    const x = left + (width - xMax) * scale; // mirrored, as the video is
    const y = top + yMin * scale;
    pen.strokeStyle = pen.fillStyle = COLOURS[face.label] || "#fff";
    pen.strokeRect(x, y, (xMax - xMin) * scale, (yMax - yMin) * scale);
    if (face.label) {
      const base = Math.max(y - 8 * ratio, 18 * ratio);
      const colour = pen.fillStyle;
      pen.fillStyle = "#000b"; // so that it can be read on any picture
      pen.fillRect(x, base - 18 * ratio, pen.measureText(label(face)).width, 24 * ratio);
      pen.fillStyle = colour;
      pen.fillText(label(face), x, base);
    }
  }
}

// Judges frames until the check is over or the camera is gone.
async function run(url) {
  while (stream) {
    const began = performance.now();
    const picture = await takeFrame();
    let response;
    try {
      response = await post(url, picture);
    } catch {
      say("The server does not answer. Trying again.");
      await wait(RETRY_MS);
      continue;
    }
    const type = response.headers.get("Content-Type") || "";
    const answer = type.startsWith("application/json") ? await response.json() : {};
    if (!stream) {
      return;
    }
    if (response.status === 503 || response.status === 429) {
      if (answer.state === "waiting") {
        say(answer.message);
      }
      await wait(answer.retry_s ? answer.retry_s * 1000 : EVERY_MS);
    } else if (!response.ok) {
      end(answer.message || "The server could not judge that picture.");
    } else {
      draw(answer);
      if (answer.state === "passed") {
        end("Welcome.");
        again.hidden = true;
        location.assign(answer.next);
      } else if (answer.state === "failed") {
        end(answer.message);
      } else {
        say(answer.message);
      }
    }
    // Where frames queue, a pause as long as the answer took makes verdicts younger, and
    // not fewer.
    const took = performance.now() - began;
    await wait(Math.max(EVERY_MS - took, answer.queue ? took : 0));
  }
}

async function begin() {
  start.disabled = true;
  if (!window.isSecureContext || !navigator.mediaDevices) {
    end("A browser opens its camera only for https, or for this machine itself.");
    return;
  }
  say("Allow the camera, please.");
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } },
    });
  } catch (error) {
    const denied = error.name === "NotAllowedError";
    end(denied ? "The camera was not allowed." : "There is no camera that works.");
    return;
  }
  stream.getVideoTracks()[0].addEventListener("ended", () => {
    end("The camera is gone.");
  });
  video.srcObject = stream;
  await video.play();
  start.hidden = true;
  say("Looking.");
  let url = camera.dataset.url;
  if (!url) {
    try {
      const response = await post(camera.dataset.start);
      const answer = await response.json();
      if (!response.ok) {
        end(answer.message);
        return;
      }
      url = answer.url;
    } catch {
      end("The server does not answer.");
      return;
    }
  }
  await run(url);
}

start.addEventListener("click", begin);
// A page that comes back by the back button has lost its check.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) {
    location.reload();
  }
});
