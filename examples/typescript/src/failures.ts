// The Temporal worker loads this module by path and uses the exported converter.
import { DefaultFailureConverter } from '@temporalio/common';

/** Moves messages and stack traces of failures to a payload that the codec encrypts. */
export const failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true });
