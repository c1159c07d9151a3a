/// Nothing to do: whoever else has work has a thread.
pub(crate) async fn pause() {}
