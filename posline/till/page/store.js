// What this browser keeps on its disk: sales and other records on their way to the till, open carts, and what it takes to
// go on selling with nothing running (the catalogue, the shop's settings, the last sales).
//
// A record counts as written when its transaction has completed with strict durability, which browsers answer only once
// the disk has it. Knows nothing of the till, and nothing of what is shown.

const NAME = "posline";
const VERSION = 1;
const DONE_MAX = 2000; // sales of the shop that are kept to be looked up, about 2 MB
const SHOWN = 200; // records of the outbox that are looked at at once
const BATCH = 50; // ... and read to be sent
const CHUNK = 1000; // products in one row: fifty rows load many times faster than fifty thousand

/** The disk took it not: there is no room, or the browser has lost its files. `full` says which. */
export class NotWritten extends Error {
  constructor(cause) {
    super(String(cause?.message ?? cause ?? "the browser's storage failed"));
    this.full = cause?.name === "QuotaExceededError";
    this.twice = cause?.name === "ConstraintError"; // a record with this id stands there already
  }
}

/** Open the store. Throws NotWritten where the browser gives none. */
export async function openStore() {
  const store = new Store();
  await store.open();
  return store;
}

export class Store {
  #db = null;
  #onLost = () => {};
  #pending = new Set(); // of what is under way: a transaction whose database is closed by force may say nothing more

  /** Open, or open again after the browser closed it. */
  async open() {
    this.#db = await new Promise((resolve, reject) => {
      const asked = indexedDB.open(NAME, VERSION);
      asked.onupgradeneeded = () => create(asked.result);
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = () => reject(new NotWritten(asked.error));
    });
    this.#db.onversionchange = () => {
      this.#db?.close();
      this.#db = null; // and opened again when something is to be written
    };
    this.#db.onclose = () => {
      this.#db = null;
      for (const lost of this.#pending) lost(new DOMException("the browser closed its storage", "UnknownError"));
      this.#onLost();
    };
  }

  /** `told` is called when the browser throws the database away under our feet. */
  onLost(told) {
    this.#onLost = told;
  }

  async #run(names, mode, work, durability = "relaxed") {
    if (!this.#db) await this.open();
    return new Promise((resolve, reject) => {
      let transaction, result;
      const lost = (error) => {
        this.#pending.delete(lost);
        reject(new NotWritten(error));
      };
      try {
        transaction = this.#db.transaction(names, mode, { durability });
        this.#pending.add(lost);
        transaction.oncomplete = () => {
          this.#pending.delete(lost);
          resolve(result?.result ?? result);
        };
        transaction.onabort = () => lost(transaction.error);
        result = work(...names.map((name) => transaction.objectStore(name)));
        if (mode === "readwrite") transaction.commit?.();
      } catch (error) {
        lost(error);
      }
    });
  }

  // -- the outbox ----------------------------------------------------------------------------------------------------

  /** Write a record down before anybody is told of it, and the cart that it came from away, in one transaction. The
   * store refuses a second record with the same id. Throws NotWritten; then nothing was written. */
  async take(record, cartOf = null) {
    await this.#run(["outbox", "carts"], "readwrite", (outbox, carts) => {
      outbox.add(record);
      if (cartOf) carts.delete(cartOf);
    }, "strict");
  }

  /** What is shown of the outbox: {count, records}: how many there are, the first of them in the order in which they
   * were taken, and those that need a person. A week's sales are not read again for each one that leaves. */
  async waiting() {
    const [count, first, refused] = await this.#run(["outbox"], "readonly", (outbox) => [
      outbox.count(), outbox.getAll(null, SHOWN), outbox.index("aside").getAll(null, SHOWN),
    ]).then((asked) => asked.map((each) => each.result));
    const shown = new Map([...first, ...refused].map((record) => [record.seq, record]));
    return { count, records: [...shown.values()].sort((a, b) => a.seq - b.seq) };
  }

  /** Every record of the outbox. */
  async everything() {
    return this.#run(["outbox"], "readonly", (outbox) => outbox.getAll());
  }

  /** The next records behind the place `after`, those that need a person among them; none at the end. */
  async batch(after) {
    return this.#run(["outbox"], "readonly", (outbox) => outbox.getAll(IDBKeyRange.lowerBound(after, true), BATCH));
  }

  /** The till has it on its disk: it leaves the outbox, and what it came to is kept to be looked up. */
  async acknowledged(seq, answer) {
    await this.#run(["outbox", "done"], "readwrite", (outbox, done) => {
      outbox.delete(seq);
      if (answer?.lines && answer.at) done.put(answer);
    });
  }

  /** The till refused it, for a reason that asking again does not change: it is kept, and the rest goes on. */
  async setAside(record, problem) {
    await this.#run(["outbox"], "readwrite", (outbox) => outbox.put({ ...record, refused: problem, aside: 1 }), "strict");
  }

  /** Send it again, changed by whoever looked at it. */
  async sendAgain(seq, changed) {
    const rows = await this.#run(["outbox"], "readonly", (outbox) => outbox.get(seq));
    if (!rows) return;
    const { refused: _, aside: __, ...record } = rows;
    await this.#run(["outbox"], "readwrite", (outbox) => outbox.put({ ...record, ...changed }), "strict");
  }

  /** Everything that waits is for another till from now on. */
  async readdress(till) {
    const all = await this.everything();
    await this.#run(["outbox"], "readwrite", (outbox) => all.forEach((record) => outbox.put({ ...record, till })), "strict");
  }

  /** A person gives a refused record up; it is kept among those given up, and never sent. */
  async giveUp(seq) {
    const record = await this.#run(["outbox"], "readonly", (outbox) => outbox.get(seq));
    if (!record?.refused) return;
    await this.#run(["outbox", "given_up"], "readwrite", (outbox, up) => {
      up.put(record);
      outbox.delete(seq);
    }, "strict");
  }

  // -- carts ---------------------------------------------------------------------------------------------------------

  /** Keep the open cart of a tab, so that a crash gives it back. */
  async keepCart(tab, cart) {
    await this.#run(["carts"], "readwrite", (carts) => (cart ? carts.put({ tab, cart, at: Date.now() }) : carts.delete(tab)));
  }

  async carts() {
    return this.#run(["carts"], "readonly", (carts) => carts.getAll());
  }

  // -- what is kept to go on without the till ------------------------------------------------------------------------

  async kept(name) {
    const row = await this.#run(["kept"], "readonly", (kept) => kept.get(name));
    return row?.value;
  }

  async keep(name, value) {
    await this.#run(["kept"], "readwrite", (kept) => kept.put({ name, value }));
  }

  /** The last sales of the shop that this browser heard of, by time. */
  async done(limit = 50) {
    const all = await this.#run(["done"], "readonly", (done) => done.index("at").getAll(null, DONE_MAX + limit));
    return all.slice(-limit).reverse();
  }

  async doneSale(id) {
    return this.#run(["done"], "readonly", (done) => done.get(id));
  }

  /** The sale with this receipt or reference among those kept. */
  async find(matches) {
    const all = await this.#run(["done"], "readonly", (done) => done.getAll());
    return all.find(matches);
  }

  /** Keep what is heard of a sale; the oldest make room. */
  async heard(sale) {
    await this.#run(["done"], "readwrite", (done) => done.put(sale));
  }

  async trim() {
    const count = await this.#run(["done"], "readonly", (done) => done.count());
    if (count <= DONE_MAX) return;
    const old = await this.#run(["done"], "readonly", (done) => done.index("at").getAllKeys(null, count - DONE_MAX));
    await this.#run(["done"], "readwrite", (done) => old.forEach((key) => done.delete(key)));
  }

  /** The catalogue as rows of products, and the version that they are. */
  async catalogue() {
    const rows = await this.#run(["products"], "readonly", (products) => products.getAll());
    return { version: (await this.kept("catalogue")) ?? "", products: rows.flatMap((row) => row.products) };
  }

  /** Keep another catalogue. The version is written last, in the same transaction. */
  async keepCatalogue(products, version) {
    await this.#run(["products", "kept"], "readwrite", (rows, kept) => {
      rows.clear();
      for (let at = 0; at < products.length; at += CHUNK) rows.put({ n: at / CHUNK, products: products.slice(at, at + CHUNK) });
      kept.put({ name: "catalogue", value: version });
    });
  }

  /** Make room for a sale: what can be asked of the till again goes. */
  async makeRoom() {
    await this.#run(["products", "kept", "done"], "readwrite", (products, kept, done) => {
      products.clear();
      kept.delete("catalogue");
      done.clear();
    });
  }
}

function create(db) {
  const outbox = db.createObjectStore("outbox", { keyPath: "seq", autoIncrement: true });
  outbox.createIndex("id", "id", { unique: true });
  outbox.createIndex("aside", "aside");
  db.createObjectStore("given_up", { keyPath: "seq" });
  db.createObjectStore("carts", { keyPath: "tab" });
  db.createObjectStore("kept", { keyPath: "name" });
  db.createObjectStore("done", { keyPath: "id" }).createIndex("at", "at");
  db.createObjectStore("products", { keyPath: "n" });
}
