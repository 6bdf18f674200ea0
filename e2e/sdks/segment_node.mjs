// A shop's server with @segment/analytics-node. The story comes as JSON; it ends when all is delivered.
import { createRequire } from 'node:module';

const { Analytics } = createRequire(process.cwd() + '/')('@segment/analytics-node');
const { url, key, anonymousId, userId, traits, cart, order, group } = JSON.parse(process.argv[2]);

const analytics = new Analytics({ writeKey: key, host: url });
analytics.on('error', (error) => {
  console.error(error);
  process.exitCode = 1;
});
analytics.track({ anonymousId, event: 'Product Added', properties: cart });
analytics.identify({ userId, traits });
analytics.alias({ previousId: anonymousId, userId });
analytics.track({ userId, event: 'Order Completed', properties: order });
analytics.page({ userId, name: 'Thanks', properties: { url: 'https://shop.example/thanks', title: 'Thanks' } });
analytics.group({ userId, groupId: group, traits: { plan: 'gold' } });
await analytics.closeAndFlush({ timeout: 15000 });
