// `npm run docs:check`: every local link and every heading that one names must exist. Nothing is asked over the network.
import remarkGfm from 'remark-gfm';
import remarkValidateLinks from 'remark-validate-links';

export default { plugins: [remarkGfm, [remarkValidateLinks, { repository: false }]] };
