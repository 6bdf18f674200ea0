// A shop's server with @rudderstack/rudder-sdk-node. The story comes as JSON; it ends when all is delivered.
import { createRequire } from 'node:module';

const Analytics = createRequire(process.cwd() + '/')('@rudderstack/rudder-sdk-node');
const { url, key, anonymousId, userId, traits, cart, order, group } = JSON.parse(process.argv[2]);

const analytics = new (Analytics.default ?? Analytics)(key, { dataPlaneUrl: url, retryCount: 0 });
let open = 6;
const done = (error) => {
  if (error) {
    console.error(error);
    process.exit(1);
  }
  if (--open === 0) process.exit(0);
};
analytics.track({ anonymousId, event: 'Product Added', properties: cart }, done);
analytics.identify({ userId, traits }, done);
analytics.alias({ previousId: anonymousId, userId }, done);
analytics.track({ userId, event: 'Order Completed', properties: order }, done);
analytics.page({ userId, name: 'Thanks', properties: { url: 'https://shop.example/thanks', title: 'Thanks' } }, done);
analytics.group({ userId, groupId: group, traits: { plan: 'gold' } }, done);
analytics.flush();
