/** The sample client: waits, so that `mesh exec … client -- curl …` has a pod to run in. */
console.log("client waits; try: mesh exec --context west client -- curl http://web-east.shop.svc.cluster.local");
const timer = setInterval(() => {}, 1 << 30);
process.once("SIGTERM", () => clearInterval(timer));
