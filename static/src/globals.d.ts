// What the relay, the build and other scripts of the page put into the global scope.

/** Replaced by the relay with the site's settings as JSON when it serves the tag. */
declare const __BACKFLOW_SETTINGS__: import("./settings.js").Settings;

/** Replaced by the build with the version of package.json. */
declare const __BACKFLOW_VERSION__: string;

/** Replaced by the build: whether it is for shops of this platform. */
declare const __SHOPIFY__: boolean;
declare const __WOOCOMMERCE__: boolean;
declare const __MAGENTO__: boolean;
declare const __BIGCOMMERCE__: boolean;

interface Navigator {
  readonly globalPrivacyControl?: boolean;
}

interface Document {
  readonly prerendering?: boolean;
}

interface Window {
  backflow?: any;
  klaviyo?: any;
  _klOnsite?: unknown;
  _learnq?: unknown;
  Shopify?: any;
  Temporal?: any;
  dataLayer?: any;
  __tcfapi?: any;
  OneTrust?: any;
  OptanonWrapper?: unknown;
  OnetrustActiveGroups?: any;
  Cookiebot?: any;
}
