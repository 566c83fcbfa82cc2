// Which cart is this tab's. Each tab has its own, and the one that it had before a reload or a crash; no two tabs have the
// same one, also where a tab was duplicated.

const NAME = "posline-tab";

/** {tab, opened}: this tab's name, held as long as it lives, and the cart that it left open. */
export async function myTab(store) {
  const mine = sessionStorage.getItem(NAME);
  const left = await store.carts().catch(() => []);
  // its own after a reload; else one that nobody holds any more: the browser crashed, or a tab was closed with it
  const wanted = [...(mine ? [mine] : []), ...left.sort((a, b) => b.at - a.at).map((each) => each.tab).filter((tab) => tab !== mine)];
  for (const tab of wanted) {
    if (await take(tab)) {
      sessionStorage.setItem(NAME, tab);
      return { tab, opened: left.find((each) => each.tab === tab)?.cart ?? null };
    }
  }
  const fresh = crypto.randomUUID();
  await take(fresh);
  sessionStorage.setItem(NAME, fresh);
  return { tab: fresh, opened: null };
}

/** Hold a name until this tab ends; whether it was free. */
function take(tab) {
  return new Promise((resolve) => {
    void navigator.locks.request(`posline-cart-${tab}`, { ifAvailable: true }, (lock) => {
      resolve(Boolean(lock));
      return lock ? new Promise(() => {}) : undefined;
    });
  });
}
