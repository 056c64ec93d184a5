#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener as StdListener, TcpStream as StdStream},
    sync::Mutex,
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::*;

/// Answers frames with themselves. A frame that begins with `w` waits for its turn, `a` waits alone, `s` is silent,
/// `c` closes, `o` overtakes nobody, `p` is parked, `r` is parked once its turn has come.
#[derive(Default)]
struct Echo {
    waiting: Mutex<VecDeque<oneshot::Sender<()>>>,
    dispatched: Mutex<Vec<Vec<u8>>>,
}

fn answer(frame: &[u8]) -> Outcome {
    let mut bytes = u32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(frame);
    Outcome::Answer(Response::Bytes(Bytes::from(bytes)))
}

impl Service for Echo {
    type Session = ();

    fn session(&self, _listener: &Arc<str>, _address: SocketAddr) {}

    fn dispatch(self: &Arc<Self>, _session: &mut (), frame: BytesMut) -> Dispatched {
        self.dispatched.lock().unwrap().push(frame.to_vec());
        let kind = frame.first().copied().unwrap_or_default();
        let (go, gone) = oneshot::channel();
        let later = Box::pin(async move {
            gone.await.unwrap();
            answer(&frame)
        });
        match kind {
            b'w' | b'a' | b'p' | b'r' => {
                self.waiting.lock().unwrap().push_back(go);
                match kind {
                    b'w' => Dispatched::Pipelined(later),
                    b'a' => Dispatched::Alone(later),
                    b'r' => Dispatched::Alone(Box::pin(async move {
                        let answer = later.await;
                        Outcome::Parked(Box::pin(async move {
                            std::future::pending::<()>().await;
                            answer
                        }))
                    })),
                    _ => Dispatched::Parked(later),
                }
            }
            b's' => Dispatched::Done(Outcome::Silent),
            b'c' => Dispatched::Done(Outcome::Close("asked for".to_owned())),
            _ => {
                let frame = self.dispatched.lock().unwrap().last().unwrap().clone();
                Dispatched::Done(answer(&frame))
            }
        }
    }

    fn may_overtake(&self, frame: &[u8]) -> bool {
        frame.first() != Some(&b'o')
    }
}

impl Echo {
    fn release(&self, which: usize) {
        self.waiting.lock().unwrap().remove(which).unwrap().send(()).unwrap();
    }

    fn seen(&self) -> usize {
        self.dispatched.lock().unwrap().len()
    }
}

struct Running {
    client: StdStream,
    echo: Arc<Echo>,
    budget: Arc<Semaphore>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

fn limits(frame_bytes: usize, idle: Option<Duration>) -> Limits {
    Limits { frame_bytes, idle, budget: Budget::new(1 << 20, 1 << 20), patience: Patience::default() }
}

fn connected() -> (StdStream, TcpStream, SocketAddr) {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    // Room for more than one large frame.
    socket2::SockRef::from(&listener).set_recv_buffer_size(1 << 20).unwrap();
    let client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (server, address) = listener.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    (client, TcpStream::from_std(server).unwrap(), address)
}

async fn running(limits: Limits) -> Running {
    let (client, stream, address) = connected();
    let echo = Arc::new(Echo::default());
    let (stop, stopped) = watch::channel(false);
    let budget = Arc::clone(&limits.budget.large);
    let task =
        tokio::spawn(run(stream, address, "TEST".into(), Arc::clone(&echo), Arc::new(limits), stopped));
    Running { client, echo, budget, stop, task }
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

fn send(client: &StdStream, bodies: &[&[u8]]) {
    let bytes: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
    (&*client).write_all(&bytes).unwrap();
}

fn receive(client: &StdStream) -> Vec<u8> {
    let mut prefix = [0; 4];
    (&*client).read_exact(&mut prefix).unwrap();
    let mut body = vec![0; u32::from_be_bytes(prefix) as usize];
    (&*client).read_exact(&mut body).unwrap();
    body
}

fn is_closed(client: &StdStream) -> bool {
    matches!((&*client).read(&mut [0; 1]), Ok(0) | Err(_))
}

/// Bounded, and no verdict by itself: whoever waits for something that never comes fails after it.
async fn until(mut condition: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not happen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_in_the_order_of_the_requests_whichever_is_ready_first() {
    let running = running(limits(1 << 20, None)).await;
    send(&running.client, &[b"w1", b"w2", b"x3"]);
    until(|| running.echo.seen() == 3).await;
    running.echo.release(1);
    running.echo.release(0);
    assert_eq!([(); 3].map(|()| receive(&running.client)), [b"w1", b"w2", b"x3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_dispatched_behind_a_request_that_must_be_alone() {
    let running = running(limits(1 << 20, None)).await;
    send(&running.client, &[b"a1", b"x2"]);
    until(|| running.echo.seen() == 1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(running.echo.seen(), 1);
    running.echo.release(0);
    assert_eq!([(); 2].map(|()| receive(&running.client)), [b"a1", b"x2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_request_gets_no_answer_and_keeps_the_connection() {
    let running = running(limits(1 << 20, None)).await;
    send(&running.client, &[b"s1", b"x2"]);
    assert_eq!(receive(&running.client), b"x2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_close_the_connection_closes_it_after_earlier_answers() {
    let running = running(limits(1 << 20, None)).await;
    send(&running.client, &[b"x1", b"c2", b"x3"]);
    assert_eq!(receive(&running.client), b"x1");
    assert!(is_closed(&running.client));
    assert_eq!(running.echo.seen(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_out_of_bounds_closes_the_connection() {
    for prefix in [(-1i32).to_be_bytes(), 1025i32.to_be_bytes(), i32::MAX.to_be_bytes()] {
        let running = running(limits(1024, None)).await;
        (&running.client).write_all(&prefix).unwrap();
        assert!(is_closed(&running.client));
        assert_eq!(running.echo.seen(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_ends_inside_a_frame_ends_and_returns_its_budget() {
    let running = running(limits(1 << 20, None)).await;
    (&running.client).write_all(&(1i32 << 19).to_be_bytes()).unwrap();
    (&running.client).write_all(&[7; 1000]).unwrap();
    until(|| running.budget.available_permits() == 1 << 19).await;
    running.client.shutdown(Shutdown::Write).unwrap();
    running.task.await.unwrap();
    assert_eq!(running.budget.available_permits(), 1 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_frame_waits_for_the_budget_and_gets_it() {
    let running = running(limits(1 << 20, None)).await;
    let taken = Arc::clone(&running.budget).acquire_many_owned(1 << 20).await.unwrap();
    let large = vec![b'x'; 1 << 19];
    let writer = {
        let client = running.client.try_clone().unwrap();
        std::thread::spawn(move || send(&client, &[&large]))
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(running.echo.seen(), 0);
    drop(taken);
    assert_eq!(receive(&running.client).len(), 1 << 19);
    writer.join().unwrap();
    until(|| running.budget.available_permits() == 1 << 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_frames_that_arrive_together_have_no_more_room_than_the_budget() {
    let size = 66 << 10;
    let running = running(limits(1 << 20, None)).await;
    let _others = Arc::clone(&running.budget).acquire_many_owned((1 << 20) - 2 * size - 100).await.unwrap();
    // Silent ones teach the connection to receive ahead.
    let bodies: Vec<Vec<u8>> = (0..20u8)
        .map(|number| {
            [&[if number < 12 { b's' } else { b'w' }, number][..], &vec![0; size as usize - 2]].concat()
        })
        .collect();
    let writer = {
        let (client, bodies) = (running.client.try_clone().unwrap(), bodies.clone());
        std::thread::spawn(move || send(&client, &bodies.iter().map(Vec::as_slice).collect::<Vec<_>>()))
    };
    for (answered, body) in bodies[12..].iter().enumerate() {
        until(|| running.echo.seen() >= 20.min(12 + answered + 2)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(running.echo.waiting.lock().unwrap().len() <= 2, "more than there is room for");
        running.echo.release(0);
        assert!(&receive(&running.client) == body);
    }
    writer.join().unwrap();
    assert!(*running.echo.dispatched.lock().unwrap() == bodies);
    until(|| running.budget.available_permits() == 2 * size as usize + 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_waits_for_room_takes_no_memory() {
    let (client, stream, _) = connected();
    let limits = Arc::new(limits(1 << 20, None));
    let _others = Arc::clone(&limits.budget.large).acquire_many_owned(1 << 20).await.unwrap();
    let mut connection = Connection::new(stream, Arc::new(Echo::default()), (), limits);
    let (_stop, mut stopped) = watch::channel(false);
    (&client).write_all(&(1i32 << 19).to_be_bytes()).unwrap();
    let timer = sleep_until(Instant::now() + FAR);
    tokio::pin!(timer);
    let event = connection.next_event(&mut stopped, timer.as_mut()).await;
    assert!(matches!(event, Ok(Event::Received(4))));
    connection.ask_for_room().unwrap();
    let waited = connection.next_event(&mut stopped, timer.as_mut());
    assert!(tokio::time::timeout(Duration::from_millis(20), waited).await.is_err());
    assert!(connection.buffer.allocated() < 1 << 16, "{}", connection.buffer.allocated());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_connection_is_closed_after_its_time() {
    let running = running(limits(1 << 20, Some(Duration::from_millis(30)))).await;
    assert!(is_closed(&running.client));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_accepted_requests_be_answered() {
    for accepted in [b"w1", b"a1"] {
        let running = running(limits(1 << 20, None)).await;
        send(&running.client, &[accepted]);
        until(|| running.echo.seen() == 1).await;
        running.stop.send_replace(true);
        tokio::time::sleep(Duration::from_millis(20)).await;
        running.echo.release(0);
        assert_eq!(receive(&running.client), accepted);
        assert!(is_closed(&running.client));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_what_the_client_lets_wait() {
    let running = running(limits(1 << 20, None)).await;
    send(&running.client, &[b"p1"]);
    until(|| running.echo.seen() == 1).await;
    running.stop.send_replace(true);
    assert!(is_closed(&running.client));
    ends(running.task).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_parked_later_is_waited_for_until_then() {
    let running = running(limits(1 << 20, None)).await;
    send(&running.client, &[b"r1", b"x2"]);
    until(|| running.echo.seen() == 1).await;
    running.stop.send_replace(true);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!running.task.is_finished());
    running.echo.release(0);
    assert!(is_closed(&running.client));
    ends(running.task).await;
    assert_eq!(running.echo.seen(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_request_holds_none_of_the_budget() {
    let running = running(limits(1 << 20, None)).await;
    send(&running.client, &[&vec![b'p'; 1 << 19]]);
    until(|| running.echo.seen() == 1).await;
    until(|| running.budget.available_permits() == 1 << 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_pipelines_more_than_the_bound_is_answered_completely() {
    let running = running(limits(1 << 20, None)).await;
    let total = 3 * IN_FLIGHT_MAX;
    let bodies: Vec<Vec<u8>> = (0..total).map(|number| format!("w{number}").into_bytes()).collect();
    send(&running.client, &bodies.iter().map(Vec::as_slice).collect::<Vec<_>>());
    for body in &bodies {
        until(|| !running.echo.waiting.lock().unwrap().is_empty()).await;
        assert!(running.echo.waiting.lock().unwrap().len() <= IN_FLIGHT_MAX);
        running.echo.release(0);
        assert_eq!(&receive(&running.client), body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_overtakes_nobody_is_dispatched_once_everything_before_it_is_answered() {
    let running = running(limits(1 << 20, None)).await;
    send(&running.client, &[b"w1", b"w2", b"o3", b"x4"]);
    until(|| running.echo.seen() == 2).await;
    running.echo.release(1);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(running.echo.seen(), 2);
    running.echo.release(0);
    assert_eq!([(); 4].map(|()| receive(&running.client)), [b"w1", b"w2", b"o3", b"x4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_of_the_largest_frames_do_not_keep_out_those_of_ordinary_ones() {
    let budget = Budget::new(12 << 20, 8 << 20);
    let shared = || Limits { budget: budget.clone(), ..limits(8 << 20, None) };
    // The first holds the part for large frames, the second waits for it.
    let [first, second] = [running(shared()).await, running(shared()).await];
    for large in [&first, &second] {
        (&large.client).write_all(&(8_i32 << 20).to_be_bytes()).unwrap();
    }
    until(|| budget.large.available_permits() == 0).await;
    let third = running(shared()).await;
    let body = vec![b'x'; 100 << 10];
    send(&third.client, &[&body]);
    assert!(receive(&third.client) == body);
    assert_eq!(budget.ordinary.available_permits(), 4 << 20);
}

/// Announces a frame of half the budget and goes on to send a byte now and then until it is stopped.
fn trickle(client: &StdStream) -> std::thread::JoinHandle<()> {
    let mut client = client.try_clone().unwrap();
    client.write_all(&(1i32 << 19).to_be_bytes()).unwrap();
    std::thread::spawn(move || {
        while client.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_senders_of_large_frames_cannot_keep_the_budget_from_others() {
    let all = Budget::new(1 << 20, 1 << 20);
    let budget = Arc::clone(&all.large);
    let shared = |patience| Limits { budget: all.clone(), patience, ..limits(1 << 20, None) };
    let hasty = Patience { pause: Duration::from_millis(300), bytes_per_second: u32::MAX };
    let slow = [running(shared(hasty)).await, running(shared(hasty)).await];
    let senders = slow.each_ref().map(|running| trickle(&running.client));
    until(|| budget.available_permits() == 0).await;
    let third = running(shared(Patience::default())).await;
    let client = third.client.try_clone().unwrap();
    let writer = std::thread::spawn(move || send(&client, &[&vec![b'x'; 1 << 19]]));
    assert_eq!(receive(&third.client).len(), 1 << 19);
    writer.join().unwrap();
    for (sender, slow) in senders.into_iter().zip(slow) {
        sender.join().unwrap();
        slow.task.await.unwrap();
        assert_eq!(slow.echo.seen(), 0);
    }
}

/// Waits for a budget that another holds; the guard is what it holds.
async fn waiting_for_budget(body: &[u8], announced: i32) -> (Running, OwnedSemaphorePermit) {
    let running = running(limits(1 << 20, None)).await;
    let taken = Arc::clone(&running.budget).acquire_many_owned(1 << 20).await.unwrap();
    (&running.client).write_all(&announced.to_be_bytes()).unwrap();
    (&running.client).write_all(body).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    (running, taken)
}

async fn ends(task: tokio::task::JoinHandle<()>) {
    tokio::time::timeout(Duration::from_secs(20), task).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_while_it_waits_for_the_budget_is_not_waited_for() {
    let (running, _taken) = waiting_for_budget(&[7; 1000], 1 << 19).await;
    drop(running.client);
    ends(running.task).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_frame_whose_sender_has_nothing_more_to_send_is_answered() {
    let (running, taken) = waiting_for_budget(&[b'x'; 66 << 10], 66 << 10).await;
    running.client.shutdown(Shutdown::Write).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(taken);
    assert_eq!(receive(&running.client).len(), 66 << 10);
    ends(running.task).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_the_wait_for_the_budget() {
    let (running, _taken) = waiting_for_budget(&[7; 1000], 1 << 19).await;
    running.stop.send_replace(true);
    ends(running.task).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_nothing_more_to_send_gets_the_answers_it_waits_for() {
    for accepted in [b"w1", b"a1"] {
        let running = running(limits(1 << 20, None)).await;
        send(&running.client, &[accepted]);
        running.client.shutdown(Shutdown::Write).unwrap();
        until(|| running.echo.seen() == 1).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        running.echo.release(0);
        assert_eq!(receive(&running.client), accepted);
        assert!(is_closed(&running.client));
    }
}
