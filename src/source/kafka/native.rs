//! The one file that calls librdkafka directly, for what rdkafka's safe surface does not offer:
//! the offset of an end-of-partition event, header names that are not UTF-8 (rdkafka's accessor
//! panics), positions of one partition, and the ids of topics.
//!
//! **The proof.** Every pointer in here is used only while what owns it is alive:
//! - A [`PartitionQueue`] keeps its [`Client`] alive, and with it the `rd_kafka_t`. Its queue handle is owned:
//!   it is taken once and destroyed once, in `drop`, after its callback was disabled. librdkafka calls the
//!   callback under the queue's lock and disabling takes that lock, so no call is under way
//!   when the callback's target is freed, right after.
//! - An [`Event`] is owned and destroyed once. A [`Record`] owns its event, and hands out slices that borrow
//!   from it; librdkafka keeps key, value and headers unchanged until the event is destroyed.
//! - librdkafka's functions may be called from any thread; an event is used by one thread at a time.
#![expect(
    unsafe_code,
    reason = "rdkafka's safe surface lacks these calls; the proof stands in the file's head"
)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::Notify;

use super::client::Client;

/// The split queue of one partition of a manually assigned client.
pub(super) struct PartitionQueue {
    queue: NonNull<rd::rd_kafka_queue_t>,
    // Read by the callback through a raw pointer until `drop` disabled it.
    nonempty: Arc<Notify>,
    topic: CString,
    partition: i32,
    client: Arc<Client>,
}

// SAFETY: the queue handle may be used from any thread, one at a time, and all else is `Send`.
unsafe impl Send for PartitionQueue {}

/// What a queue holds.
pub(super) enum Polled {
    /// A record.
    Record(Record),
    /// The end of the partition: the offset behind all that is readable.
    End(i64),
    /// An error of this partition alone.
    Fault(RDKafkaErrorCode),
}

impl PartitionQueue {
    /// Splits the partition's queue from the client's. To be called before the partition is assigned.
    pub(super) fn split(client: Arc<Client>, topic: &str, partition: i32) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        let rk = client.consumer().client().native_ptr();
        let nonempty = Arc::new(Notify::new());
        // SAFETY: `rk` lives as long as `client`; the topic is a valid C string; the callback's
        // target lives until `drop`, which disables the callback first.
        let queue = unsafe {
            let queue = rd::rd_kafka_queue_get_partition(rk, topic.as_ptr(), partition);
            let queue = NonNull::new(queue)?;
            rd::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            rd::rd_kafka_queue_cb_event_enable(
                queue.as_ptr(),
                Some(notify_nonempty),
                Arc::as_ptr(&nonempty).cast_mut().cast(),
            );
            queue
        };
        Some(Self {
            queue,
            nonempty,
            topic,
            partition,
            client,
        })
    }

    /// Is notified, with a stored permit, each time the queue becomes non-empty.
    pub(super) fn nonempty(&self) -> Arc<Notify> {
        Arc::clone(&self.nonempty)
    }

    /// The client that the queue belongs to.
    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Takes what is next in the queue, without waiting.
    pub(super) fn poll(&mut self) -> Option<Polled> {
        loop {
            // SAFETY: the queue handle is valid until `drop`.
            let event = unsafe { rd::rd_kafka_queue_poll(self.queue.as_ptr(), 0) };
            let event = Event(NonNull::new(event)?);
            match event.kind() {
                rd::RD_KAFKA_EVENT_FETCH => {
                    if let Some(polled) = Record::of(event) {
                        return Some(polled);
                    }
                }
                rd::RD_KAFKA_EVENT_ERROR => return Some(event.error()),
                // Nothing else is sent to a partition's queue.
                _ => {}
            }
        }
    }

    /// The position behind what was polled: behind control records, too. Holds only what this
    /// assignment polled once a record of it was polled. `None` when unknown.
    pub(super) fn position(&self) -> Option<i64> {
        let topic = self.topic.to_str().ok()?;
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(topic, self.partition);
        let rk = self.client.consumer().client().native_ptr();
        // SAFETY: client and list live through the call, which only fills in the list's offsets.
        let error = unsafe { rd::rd_kafka_position(rk, list.ptr()) };
        if error != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        match list.elements().first()?.offset() {
            rdkafka::Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    /// The high watermark that came with the last fetch; `None` when nothing was fetched yet.
    pub(super) fn high_watermark(&self) -> Option<i64> {
        let (mut low, mut high) = (0, 0);
        let rk = self.client.consumer().client().native_ptr();
        // SAFETY: the client lives through the call, the topic is a valid C string.
        let error = unsafe {
            rd::rd_kafka_get_watermark_offsets(
                rk,
                self.topic.as_ptr(),
                self.partition,
                &mut low,
                &mut high,
            )
        };
        let known = error == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0;
        known.then_some(high)
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: the handle is valid and is not used after this; see the head of the file.
        unsafe {
            rd::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            rd::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

unsafe extern "C" fn notify_nonempty(_: *mut rd::rd_kafka_t, target: *mut c_void) {
    // SAFETY: `target` is the `Notify` that the queue keeps alive while the callback is enabled.
    let notify = unsafe { &*target.cast_const().cast::<Notify>() };
    notify.notify_one();
}

/// An owned event.
struct Event(NonNull<rd::rd_kafka_event_t>);

impl Event {
    fn kind(&self) -> i32 {
        // SAFETY: the event is alive.
        unsafe { rd::rd_kafka_event_type(self.0.as_ptr()) }
    }

    fn error(&self) -> Polled {
        // SAFETY: the event is alive; the partition is owned by us and destroyed once.
        unsafe {
            let code = RDKafkaErrorCode::from(rd::rd_kafka_event_error(self.0.as_ptr()));
            if code != RDKafkaErrorCode::PartitionEOF {
                return Polled::Fault(code);
            }
            let partition = rd::rd_kafka_event_topic_partition(self.0.as_ptr());
            if partition.is_null() {
                return Polled::Fault(code);
            }
            let offset = (*partition).offset;
            rd::rd_kafka_topic_partition_destroy(partition);
            Polled::End(offset)
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is owned and destroyed only here.
        unsafe { rd::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

/// A record inside librdkafka's buffers: it pins its whole fetch, so copy it and let it go.
pub(super) struct Record {
    message: NonNull<rd::rd_kafka_message_t>,
    // Owns what `message` points to.
    _event: Event,
}

impl Record {
    fn of(event: Event) -> Option<Polled> {
        // SAFETY: the event is alive; its message lives as long as the event.
        let message = unsafe { rd::rd_kafka_event_message_next(event.0.as_ptr()) };
        let record = Self {
            message: NonNull::new(message.cast_mut())?,
            _event: event,
        };
        let error = record.message().err;
        if error != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Some(Polled::Fault(RDKafkaErrorCode::from(error)));
        }
        Some(Polled::Record(record))
    }

    fn message(&self) -> &rd::rd_kafka_message_t {
        // SAFETY: the message lives as long as the event that `self` owns.
        unsafe { self.message.as_ref() }
    }

    /// The record's offset.
    pub(super) fn offset(&self) -> i64 {
        self.message().offset
    }

    /// Milliseconds since the epoch; -1 when absent.
    pub(super) fn timestamp_ms(&self) -> i64 {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        unsafe { rd::rd_kafka_message_timestamp(self.message.as_ptr(), &mut kind) }
    }

    /// The key, if there is one (it may be empty).
    pub(super) fn key(&self) -> Option<&[u8]> {
        let message = self.message();
        // SAFETY: key and length belong together and live as long as the message.
        unsafe { bytes(message.key, message.key_len) }
    }

    /// The value; none for a tombstone.
    pub(super) fn value(&self) -> Option<&[u8]> {
        let message = self.message();
        // SAFETY: value and length belong together and live as long as the message.
        unsafe { bytes(message.payload, message.len) }
    }

    /// Hands every header to `take`, in order: the name's bytes, which need not be UTF-8, and the value.
    pub(super) fn headers(&self, mut take: impl FnMut(&[u8], Option<&[u8]>)) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive; its headers live as long as it does, and names are C strings.
        unsafe {
            let error = rd::rd_kafka_message_headers(self.message.as_ptr(), &mut headers);
            if error != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            for index in 0.. {
                let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
                let error =
                    rd::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size);
                if error != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return;
                }
                take(CStr::from_ptr(name).to_bytes(), bytes(value, size));
            }
        }
    }
}

/// The `size` bytes at `start`.
///
/// # Safety
/// `start` is null or points to `size` bytes that live as long as `'a`.
unsafe fn bytes<'a>(start: *const c_void, size: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    if size == 0 {
        return Some(&[]);
    }
    // SAFETY: the caller's promise.
    Some(unsafe { slice::from_raw_parts(start.cast(), size) })
}

/// A topic as the broker describes it.
pub(super) struct Described {
    /// Its name.
    pub(super) name: String,
    /// Its identity; empty when the broker is too old to have one.
    pub(super) id: String,
    /// How many partitions it has.
    pub(super) partitions: i32,
    /// Whether it is Kafka's own.
    pub(super) internal: bool,
}

/// Asks one broker for the ids of topics. Topics that it refuses to describe are left out. Blocks up to `timeout`.
pub(super) fn describe_topics(
    client: &Client,
    broker: i32,
    names: &[&str],
    timeout: Duration,
) -> Result<Vec<Described>, RDKafkaErrorCode> {
    let names: Vec<CString> = names.iter().filter_map(|n| CString::new(*n).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|n| n.as_ptr()).collect();
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let rk = client.consumer().client().native_ptr();
    // SAFETY: every object is created, used and destroyed here, in this order; librdkafka copies the
    // collection and the options. The result is read before its event is destroyed.
    unsafe {
        let topics =
            rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let options = rd::rd_kafka_AdminOptions_new(
            rk,
            rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        let mut error_text = [0 as c_char; 128];
        rd::rd_kafka_AdminOptions_set_request_timeout(
            options,
            timeout_ms,
            error_text.as_mut_ptr(),
            error_text.len(),
        );
        // Any broker can answer; without this, librdkafka waits for the controller.
        rd::rd_kafka_AdminOptions_set_broker(
            options,
            broker,
            error_text.as_mut_ptr(),
            error_text.len(),
        );
        let queue = rd::rd_kafka_queue_new(rk);
        rd::rd_kafka_DescribeTopics(rk, topics, options, queue);
        // The request itself times out a little earlier and answers with an event.
        let event = rd::rd_kafka_queue_poll(queue, timeout_ms.saturating_add(1000));
        let described = match NonNull::new(event).map(Event) {
            Some(event) => described(&event),
            None => Err(RDKafkaErrorCode::OperationTimedOut),
        };
        rd::rd_kafka_queue_destroy(queue);
        rd::rd_kafka_AdminOptions_destroy(options);
        rd::rd_kafka_TopicCollection_destroy(topics);
        described
    }
}

fn described(event: &Event) -> Result<Vec<Described>, RDKafkaErrorCode> {
    // SAFETY: the event is alive, and everything read here belongs to it.
    unsafe {
        let code = RDKafkaErrorCode::from(rd::rd_kafka_event_error(event.0.as_ptr()));
        if code != RDKafkaErrorCode::NoError {
            return Err(code);
        }
        let result = rd::rd_kafka_event_DescribeTopics_result(event.0.as_ptr());
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let mut described = Vec::with_capacity(count);
        for index in 0..count {
            let topic = *topics.add(index);
            let error = rd::rd_kafka_TopicDescription_error(topic);
            if RDKafkaErrorCode::from(rd::rd_kafka_error_code(error)) != RDKafkaErrorCode::NoError {
                continue;
            }
            let name = CStr::from_ptr(rd::rd_kafka_TopicDescription_name(topic));
            let mut partitions = 0;
            rd::rd_kafka_TopicDescription_partitions(topic, &mut partitions);
            described.push(Described {
                name: name.to_string_lossy().into_owned(),
                id: topic_id(rd::rd_kafka_TopicDescription_topic_id(topic)),
                partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
                internal: rd::rd_kafka_TopicDescription_is_internal(topic) != 0,
            });
        }
        Ok(described)
    }
}

/// The id as Kafka's own tools print it; empty when there is none.
///
/// # Safety
/// `id` is null or points to a live id.
unsafe fn topic_id(id: *const rd::rd_kafka_Uuid_t) -> String {
    if id.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise; the text lives as long as the id.
    unsafe {
        let high = rd::rd_kafka_Uuid_most_significant_bits(id);
        let low = rd::rd_kafka_Uuid_least_significant_bits(id);
        if high == 0 && low == 0 {
            return String::new();
        }
        let text = rd::rd_kafka_Uuid_base64str(id);
        if text.is_null() {
            return String::new();
        }
        CStr::from_ptr(text).to_string_lossy().into_owned()
    }
}
