// The socket to the inference queue. One prediction is in flight at a time; the newest preference wins.

const RETRY_FIRST = 500;
const RETRY_LAST = 8000;
// The server has few places: one that is idle is given to whoever needs it, and taken again with the next request.
const GAVE_WAY = 4408;

function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let offset = 4 + length;
  header.blobs = header.sizes.map((size) => {
    const part = new Uint8Array(buffer, offset, size);
    offset += size;
    return part;
  });
  return header;
}

export class Connection {
  /** handlers: opened(), closed(), answered(header, request), failed(sentence, request). */
  constructor(handlers) {
    this.handlers = handlers;
    this.sequence = 0;
    this.requests = new Map();
    this.inFlight = null;
    this.waiting = new Map(); // what a prediction is for → the newest request for it
    this.retry = RETRY_FIRST;
    this.ended = false;
    this.away = false;
    this.open();
  }

  open() {
    this.away = false;
    const address = new URL('palora/ws', document.baseURI);
    address.protocol = address.protocol.replace('http', 'ws');
    const socket = new WebSocket(address);
    this.socket = socket;
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      this.retry = RETRY_FIRST;
      this.inFlight = null;
      this.requests.clear();
      this.handlers.opened();
      this.pump();
    };
    socket.onmessage = (event) => this.receive(event.data);
    socket.onclose = (event) => {
      if (this.ended || socket !== this.socket) return;
      this.away = event.code === GAVE_WAY && !this.inFlight && !this.waiting.size;
      if (this.away) return;
      this.handlers.closed();
      setTimeout(() => this.ended || this.open(), this.retry);
      this.retry = Math.min(RETRY_LAST, 2 * this.retry);
    };
  }

  get ready() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  end() {
    this.ended = true;
    this.socket.close();
  }

  /** Ask for a scene, a gallery or a stream (answered part by part); nothing happens while the socket is closed (opened() asks again). */
  ask(message) {
    if (this.away) this.open();
    if (!this.ready) return null;
    const request = { ...message, seq: (this.sequence += 1), sent: performance.now() };
    this.requests.set(request.seq, request);
    const { sent, since, purpose, ...wire } = request;
    this.socket.send(JSON.stringify(wire));
    return request;
  }

  /** Ask for a prediction; while one is in flight only the newest request of each purpose is kept. */
  predict(message, purpose = 'now') {
    this.waiting.set(purpose, { ...message, purpose });
    this.pump();
  }

  pump() {
    if (this.waiting.size && this.away) this.open();
    if (!this.waiting.size || this.inFlight || !this.ready) return;
    const [first] = this.waiting.keys();
    const purpose = this.waiting.has('now') ? 'now' : first; // whoever drags waits for nothing that is for later
    const message = this.waiting.get(purpose);
    this.waiting.delete(purpose);
    this.inFlight = this.ask(message);
  }

  receive(data) {
    const header = typeof data === 'string' ? JSON.parse(data) : unpack(data);
    const request = this.requests.get(header.seq);
    const more = header.type === 'stream' && !header.done;
    if (!more) this.requests.delete(header.seq);
    if (this.inFlight && header.seq === this.inFlight.seq) this.inFlight = null;
    if (header.type === 'error') this.handlers.failed(header.error, request);
    else if (header.type !== 'dropped') this.handlers.answered(header, request);
    this.pump();
  }
}
