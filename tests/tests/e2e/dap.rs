//! `perilune dap`, driven as an editor drives it.

use perilune_tests::{Server, ServerBuilder, redis_server, repository, server_binary};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

const SCRIPT: &str = "local a = 1
local t = {1, {k = 'v'}}
local function double(x)
  local y = x * 2
  return y
end
redis.call('set', KEYS[1], ARGV[1])
a = double(a)
redis.debug('said', a)
redis.log(redis.LOG_WARNING, 'logged')
return redis.call('get', KEYS[1])
";

/// An editor with its adapter.
struct Editor {
    adapter: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    sequence: u64,
    /// Events that nobody asked for yet.
    events: Vec<Value>,
    folder: PathBuf,
}

impl Editor {
    fn new(program: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("perilune-dap-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
        std::fs::write(folder.join("script.lua"), program).expect("written");
        let mut adapter = Command::new(server_binary())
            .arg("dap")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the adapter starts");
        let stdin = adapter.stdin.take().expect("a pipe");
        let stdout = BufReader::new(adapter.stdout.take().expect("a pipe"));
        Editor { adapter, stdin, stdout, sequence: 0, events: Vec::new(), folder }
    }

    fn program(&self) -> String {
        self.folder.join("script.lua").to_string_lossy().into_owned()
    }

    fn read(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert_ne!(self.stdout.read_line(&mut line).expect("read"), 0, "the adapter ended");
            match line.trim_end().strip_prefix("Content-Length: ") {
                Some(number) => length = number.parse().expect("a number"),
                None if line == "\r\n" => break,
                None => panic!("no header: {line:?}"),
            }
        }
        let mut body = vec![0; length];
        self.stdout.read_exact(&mut body).expect("read");
        serde_json::from_slice(&body).expect("JSON")
    }

    /// Sends a request and waits for its response.
    fn request(&mut self, command: &str, arguments: Value) -> Value {
        self.sequence += 1;
        let message = json!({
            "seq": self.sequence, "type": "request", "command": command, "arguments": arguments,
        });
        let body = message.to_string();
        write!(self.stdin, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("written");
        loop {
            let message = self.read();
            if message["type"] == "event" {
                self.events.push(message);
                continue;
            }
            assert_eq!(message["request_seq"], self.sequence, "{message}");
            return message;
        }
    }

    /// The body of a response to a request that succeeds.
    fn ask(&mut self, command: &str, arguments: Value) -> Value {
        let response = self.request(command, arguments);
        assert_eq!(response["success"], true, "{response}");
        response["body"].clone()
    }

    /// The message of a response to a request that fails.
    fn refused(&mut self, command: &str, arguments: Value) -> String {
        let response = self.request(command, arguments);
        assert_eq!(response["success"], false, "{response}");
        response["message"].as_str().expect("a message").to_owned()
    }

    /// The body of the next event of a kind; those of others before it are skipped but for output,
    /// which is returned with it.
    fn event(&mut self, kind: &str) -> (Value, String) {
        let mut output = String::new();
        loop {
            let event = if self.events.is_empty() { self.read() } else { self.events.remove(0) };
            if event["event"] == "output" {
                output.push_str(event["body"]["output"].as_str().expect("text"));
            }
            if event["event"] == kind {
                return (event["body"].clone(), output);
            }
        }
    }

    /// Launches with arguments beside the program, sets breakpoints at lines and starts.
    fn start(&mut self, launch: Value, breakpoints: &[u64]) {
        let lines = breakpoints.iter().map(|line| json!({ "line": line })).collect();
        self.start_with(launch, lines);
    }

    /// [`start`](Self::start) with breakpoints as they are.
    fn start_with(&mut self, mut launch: Value, breakpoints: Vec<Value>) {
        let body = self.ask("initialize", json!({ "adapterID": "perilune" }));
        assert_eq!(body["supportsConfigurationDoneRequest"], true);
        launch["program"] = self.program().into();
        self.ask("launch", launch);
        self.event("initialized");
        let source = json!({ "path": self.program() });
        let wanted = json!({ "source": source, "breakpoints": breakpoints });
        let body = self.ask("setBreakpoints", wanted);
        assert_eq!(body["breakpoints"].as_array().expect("a list").len(), breakpoints.len());
        self.ask("configurationDone", json!({}));
    }

    /// Sets breakpoints; what is answered for each.
    fn set_breakpoints(&mut self, breakpoints: Value) -> Value {
        let source = json!({ "path": self.program() });
        let wanted = json!({ "source": source, "breakpoints": breakpoints });
        self.ask("setBreakpoints", wanted)["breakpoints"].clone()
    }

    /// Names of the functions on the stack and their lines.
    fn stack(&mut self) -> Vec<(String, u64)> {
        let body = self.ask("stackTrace", json!({ "threadId": 1 }));
        let frames = body["stackFrames"].as_array().expect("frames").clone();
        let frame = |frame: &Value| {
            let name = frame["name"].as_str().expect("a name").to_owned();
            (name, frame["line"].as_u64().expect("a line"))
        };
        frames.iter().map(frame).collect()
    }

    fn variables(&mut self, reference: &Value) -> Vec<(String, String, Value)> {
        let body = self.ask("variables", json!({ "variablesReference": reference }));
        let variable = |variable: &Value| {
            let text = |name: &str| variable[name].as_str().expect("text").to_owned();
            (text("name"), text("value"), variable["variablesReference"].clone())
        };
        body["variables"].as_array().expect("a list").iter().map(variable).collect()
    }

    /// The number of a scope of a function, counted from 1.
    fn scope_of(&mut self, frame: u64, name: &str) -> Value {
        let body = self.ask("scopes", json!({ "frameId": frame }));
        let scopes = body["scopes"].as_array().expect("a list").clone();
        let found = scopes.iter().find(|scope| scope["name"] == name).expect("the scope");
        found["variablesReference"].clone()
    }

    /// The variables of a scope of the innermost function.
    fn scope(&mut self, name: &str) -> Vec<(String, String, Value)> {
        let number = self.scope_of(1, name);
        self.variables(&number)
    }

    fn evaluate(&mut self, expression: &str) -> String {
        self.evaluate_in(1, expression)
    }

    /// What an expression comes to in a function, counted from 1.
    fn evaluate_in(&mut self, frame: u64, expression: &str) -> String {
        let body = self.ask("evaluate", json!({ "expression": expression, "frameId": frame }));
        body["result"].as_str().expect("text").to_owned()
    }

    /// Goes on to the next stop: why there, the line, and what was said on the way.
    fn go_on(&mut self) -> (Value, u64, String) {
        self.ask("continue", json!({ "threadId": 1 }));
        self.next_stop()
    }

    fn next_stop(&mut self) -> (Value, u64, String) {
        let (stop, output) = self.event("stopped");
        (stop["reason"].clone(), self.stack()[0].1, output)
    }

    /// Waits for the end; what the program had to say, and its exit code.
    fn end(&mut self) -> (String, Value) {
        let (_, output) = self.event("terminated");
        let (body, _) = self.event("exited");
        self.ask("disconnect", json!({}));
        let status = self.adapter.wait().expect("it ends");
        assert!(status.success(), "{status}");
        (output, body["exitCode"].clone())
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.adapter.kill();
        let _ = self.adapter.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn pairs(variables: &[(String, String, Value)]) -> Vec<(&str, &str)> {
    variables.iter().map(|(name, value, _)| (&**name, &**value)).collect()
}

/// The tour of a session; what it said.
fn tour(editor: &mut Editor, launch: Value) -> String {
    editor.start(launch, &[5, 99]);
    let (stop, _) = editor.event("stopped");
    assert_eq!((&stop["reason"], &stop["threadId"]), (&json!("entry"), &json!(1)));
    assert_eq!(editor.ask("threads", json!({}))["threads"][0]["id"], 1);
    assert_eq!(editor.stack(), [("top level".to_owned(), 1)]);
    assert!(editor.refused("evaluate", json!({ "expression": "a" })).contains("nonexistent"));

    editor.ask("continue", json!({ "threadId": 1 }));
    let (stop, output) = editor.event("stopped");
    assert_eq!(stop["reason"], "breakpoint");
    assert_eq!(output, "", "commands are told of while stepping");
    let frames = [("double".to_owned(), 5), ("top level".to_owned(), 8)];
    assert_eq!(editor.stack(), frames);
    assert_eq!(pairs(&editor.scope("Locals")), [("x", "1"), ("y", "2")]);
    let inputs = editor.scope("KEYS and ARGV");
    assert_eq!(pairs(&inputs), [("KEYS", r#"{"key"}"#), ("ARGV", r#"{"value"}"#)]);
    assert_eq!(pairs(&editor.variables(&inputs[0].2)), [("[1]", r#""key""#)]);
    assert_eq!(editor.evaluate("y"), "2");
    assert_eq!(editor.evaluate("1 + 1"), "2");
    assert_eq!(editor.evaluate("redis get key"), r#""value""#);
    let source = json!({ "path": editor.program() });
    let body = editor.ask("setBreakpoints", json!({ "source": source, "breakpoints": [] }));
    assert_eq!(body["breakpoints"], json!([]));

    let mut said = String::new();
    for (request, line) in [("stepOut", 9), ("next", 10), ("stepIn", 11)] {
        editor.ask(request, json!({ "threadId": 1 }));
        let (stop, output) = editor.event("stopped");
        assert_eq!((&stop["reason"], editor.stack()[0].1), (&json!("step"), line));
        said.push_str(&output);
    }
    assert!(said.contains("line 9: \"said\", 2\n"), "{said}");
    let locals = editor.scope("Locals");
    assert_eq!(pairs(&locals)[..2], [("a", "2"), ("t", r#"{1; {["k"]="v"}}"#)]);
    let inner = editor.variables(&locals[1].2);
    assert_eq!(pairs(&editor.variables(&inner[1].2)), [(r#"["k"]"#, r#""v""#)]);
    assert_eq!(pairs(&editor.scope("Replies")), [("get key", r#""value""#)]);
    assert!(editor.refused("pause", json!({ "threadId": 1 })).contains("does not run"));

    editor.ask("next", json!({ "threadId": 1 }));
    let (output, exit_code) = editor.end();
    assert_eq!(exit_code, 0);
    assert!(output.contains("<redis> get key\n<reply> \"value\"\n"), "{output}");
    assert!(output.ends_with("\"value\"\n"), "{output}");
    said + &output
}

fn input() -> Value {
    json!({ "keys": ["key"], "argv": ["value"] })
}

#[test]
fn a_script_is_debugged_on_an_engine_of_the_adapter() {
    let said = tour(&mut Editor::new(SCRIPT), input());
    assert!(said.contains("logged"), "{said}");
}

/// A tour on a server in both modes.
fn tour_on(server: &Server) {
    use perilune_resp::Value;
    for (mode, left) in [("yes", Value::Null), ("sync", Value::bulk("value"))] {
        let mut launch = input();
        launch["server"] = format!("127.0.0.1:{}", server.port()).into();
        launch["mode"] = mode.into();
        tour(&mut Editor::new(SCRIPT), launch);
        assert_eq!(server.connect().run(&["GET", "key"]).expect("a reply"), left);
    }
}

#[test]
fn a_script_is_debugged_on_a_server() {
    tour_on(&Server::start());
}

#[test]
fn a_script_is_debugged_on_a_real_redis() {
    match redis_server() {
        Some(redis) => tour_on(&ServerBuilder::of(&redis).start()),
        None => println!("redis-server is not installed"),
    }
}

/// Lets `check` have an editor on an engine of the adapter, and on a server in both modes.
fn everywhere(program: &str, check: impl Fn(Editor, Value)) {
    check(Editor::new(program), json!({ "stopOnEntry": false }));
    let server = Server::start();
    for mode in ["yes", "sync"] {
        let address = format!("127.0.0.1:{}", server.port());
        let launch = json!({ "stopOnEntry": false, "server": address, "mode": mode });
        check(Editor::new(program), launch);
    }
}

const LOOP: &str = "local total = 0
local function add(n)
  local twice = n * 2
  total = total + twice
  return total
end
for i = 1, 10 do
  add(i)
end
return total
";

#[test]
fn breakpoints_have_conditions_counts_and_messages() {
    everywhere(LOOP, |mut editor, launch| {
        let breakpoints = vec![
            json!({ "line": 5, "condition": "n == 3" }),
            json!({ "line": 8, "hitCondition": "%5" }),
            json!({ "line": 4, "condition": "n < 3", "logMessage": "n is {n}, {total + twice}" }),
        ];
        editor.start_with(launch, breakpoints);
        let (reason, line, said) = editor.next_stop();
        assert_eq!((reason, line), (json!("breakpoint"), 5));
        assert_eq!(said, "n is 1, 2\nn is 2, 6\n");
        assert_eq!(editor.evaluate("n .. ' ' .. twice .. ' ' .. total"), r#""3 6 12""#);
        let (_, line, said) = editor.go_on();
        assert_eq!((line, said.as_str()), (8, ""));
        assert_eq!(editor.evaluate("i"), "5");
        // Where nothing stops the program, steps still do.
        editor.ask("next", json!({ "threadId": 1 }));
        editor.next_stop();
        editor.ask("next", json!({ "threadId": 1 }));
        let (reason, line, _) = editor.next_stop();
        assert_eq!((reason, line), (json!("step"), 4));
        editor.go_on();
        assert_eq!(editor.evaluate("i"), "10");
        editor.ask("continue", json!({ "threadId": 1 }));
        assert_eq!(editor.end(), ("(integer) 110\n".to_owned(), json!(0)));
    });
}

#[test]
fn a_condition_that_fails_stops_and_is_told() {
    let mut editor = Editor::new(LOOP);
    let breakpoints = vec![json!({ "line": 4, "condition": "nowhere.x" })];
    editor.start_with(json!({ "stopOnEntry": false }), breakpoints);
    let (reason, line, said) = editor.next_stop();
    assert_eq!((reason, line), (json!("breakpoint"), 4));
    assert!(said.starts_with("The condition of line 4 fails: "), "{said}");
    assert!(said.contains("nowhere"), "{said}");
    editor.ask("disconnect", json!({}));
}

#[test]
fn variables_of_outer_functions_are_seen_and_changed() {
    everywhere(LOOP, |mut editor, launch| {
        editor.start_with(launch, vec![json!({ "line": 4, "condition": "n == 3" })]);
        editor.next_stop();
        let locals = editor.scope_of(2, "Locals");
        let variables = editor.variables(&locals);
        let shown = pairs(&variables);
        assert!(shown.contains(&("total", "6")) && shown.contains(&("i", "3")), "{shown:?}");
        assert_eq!(editor.evaluate_in(2, "total + i"), "9");
        assert!(editor.refused("evaluate", json!({ "expression": "i" })).contains("nonexistent"));
        let set = |number: &Value, name: &str, value: &str| json!({ "variablesReference": number, "name": name, "value": value });
        let body = editor.ask("setVariable", set(&locals, "total", "{i}"));
        assert_eq!(body["value"], "{3}");
        let refused = editor.refused("setVariable", set(&locals, "nobody", "1"));
        assert!(refused.contains("no variable 'nobody'"), "{refused}");
        let refused = editor.refused("setVariable", set(&locals, "total", "1 +"));
        assert!(refused.contains("unexpected"), "{refused}");
        let inputs = editor.scope_of(1, "KEYS and ARGV");
        assert!(editor.refused("setVariable", set(&inputs, "KEYS", "1")).contains("only local"));
        editor.ask("setVariable", set(&locals, "total", "total[1] + 97"));
        assert_eq!(editor.evaluate("total"), "100");
        let inner = editor.scope_of(1, "Locals");
        editor.ask("setVariable", set(&inner, "twice", "n"));
        assert_eq!(pairs(&editor.variables(&inner)), [("n", "3"), ("twice", "3")]);
        editor.ask("continue", json!({ "threadId": 1 }));
        assert_eq!(editor.end(), ("(integer) 201\n".to_owned(), json!(0)));
    });
}

#[test]
fn a_program_that_runs_is_stopped() {
    everywhere("local i = 0\nwhile true do\n  i = i + 1\nend", |mut editor, launch| {
        editor.start(launch, &[]);
        editor.ask("pause", json!({ "threadId": 1 }));
        assert_eq!(editor.next_stop().0, "pause");
        for _ in 0..2 {
            editor.ask("continue", json!({ "threadId": 1 }));
            editor.ask("pause", json!({ "threadId": 1 }));
            let (reason, line, said) = editor.next_stop();
            assert_eq!((reason, said.as_str()), (json!("pause"), ""));
            assert!((2..=3).contains(&line), "{line}");
            assert_eq!(editor.evaluate("i >= 0"), "true");
        }
        editor.ask("terminate", json!({}));
        assert_eq!(editor.end().1, 1);
    });
}

#[test]
fn a_program_that_runs_takes_breakpoints() {
    everywhere("local n = 0\nwhile true do\n  n = n + 1\nend", |mut editor, launch| {
        editor.start(launch, &[]);
        // The first command after the start may come before the first line.
        editor.ask("pause", json!({ "threadId": 1 }));
        editor.next_stop();
        editor.ask("continue", json!({ "threadId": 1 }));
        for condition in ["n > 0", "n > 1000"] {
            let body = editor.set_breakpoints(json!([{ "line": 3, "condition": condition }]));
            assert_eq!((&body[0]["verified"], &body[0]["line"]), (&json!(true), &json!(3)));
            let (stop, _) = editor.event("stopped");
            assert_eq!(stop["reason"], "breakpoint", "{condition}: {stop}");
            assert_eq!(editor.stack()[0].1, 3);
            assert_eq!(editor.set_breakpoints(json!([])), json!([]));
            editor.ask("continue", json!({ "threadId": 1 }));
        }
        // A pause that the user asks for meanwhile is not lost.
        editor.set_breakpoints(json!([{ "line": 3, "condition": "false" }]));
        editor.ask("pause", json!({ "threadId": 1 }));
        assert_eq!(editor.next_stop().0, "pause");
        editor.ask("terminate", json!({}));
        assert_eq!(editor.end().1, 1);
    });
}

#[test]
fn a_real_redis_takes_breakpoints_when_the_program_stops() {
    let Some(redis) = redis_server() else { return println!("redis-server is not installed") };
    let redis = ServerBuilder::of(&redis).start();
    let mut editor = Editor::new("local n = 0\nwhile true do\n  n = n + 1\nend");
    let address = format!("127.0.0.1:{}", redis.port());
    editor.start(json!({ "stopOnEntry": true, "server": address }), &[]);
    editor.event("stopped");
    editor.ask("continue", json!({ "threadId": 1 }));
    let body = editor.set_breakpoints(json!([{ "line": 3 }]));
    assert_eq!(body[0]["verified"], false, "{body}");
    // It stops by itself, because it takes long.
    let (changed, _) = editor.event("breakpoint");
    assert_eq!(changed["breakpoint"]["id"], body[0]["id"]);
    assert_eq!(changed["breakpoint"]["verified"], true);
    assert_eq!(editor.next_stop().0, "pause");
    let (reason, line, _) = editor.go_on();
    assert_eq!((reason, line), (json!("breakpoint"), 3));
    editor.ask("disconnect", json!({}));
}

#[test]
fn breakpoints_move_to_the_next_line_with_code() {
    let program = "-- a comment\n\nlocal a =\n  1\n\nif a then\n  a = 2\nelse\n  a = 3\nend\n\
                   return a\n-- the end\n";
    let mut editor = Editor::new(program);
    editor.start(json!({}), &[]);
    editor.event("stopped");
    let wanted =
        json!([{ "line": 2 }, { "line": 5 }, { "line": 8 }, { "line": 11 }, { "line": 12 }]);
    let answers = editor.set_breakpoints(wanted);
    let lines: Vec<_> = answers.as_array().expect("a list").iter().map(|it| &it["line"]).collect();
    assert_eq!(lines, [&json!(4), &json!(6), &json!(9), &json!(11), &Value::Null]);
    assert_eq!((&answers[3]["verified"], &answers[4]["verified"]), (&json!(true), &json!(false)));
    assert!(answers[4]["message"].as_str().expect("a message").contains("no code"), "{answers}");
    assert_eq!((editor.go_on().1, editor.go_on().1), (6, 11));
    editor.ask("continue", json!({ "threadId": 1 }));
    assert_eq!(editor.end().1, 0);
}

#[test]
fn an_expression_that_does_not_end_ends_the_session() {
    let server = Server::start();
    let address = format!("127.0.0.1:{}", server.port());
    for launch in [json!({}), json!({ "server": address, "mode": "sync" })] {
        let mut editor = Editor::new("local a = 1\nreturn a");
        editor.start(launch, &[]);
        editor.event("stopped");
        let endless = json!({ "expression": "(function() while true do end end)()" });
        let refused = editor.refused("evaluate", endless);
        assert!(refused.contains("eval did not end"), "{refused}");
        editor.refused("evaluate", json!({ "expression": "1 + 1" }));
        editor.refused("continue", json!({ "threadId": 1 }));
        assert_eq!(editor.end().1, 1);
    }
    // So does one of a breakpoint.
    let mut editor = Editor::new("local a = 1\nreturn a");
    let condition = "(function() while true do end end)()";
    let breakpoints = vec![json!({ "line": 2, "condition": condition })];
    editor.start_with(json!({ "stopOnEntry": false }), breakpoints);
    let (said, exit_code) = editor.end();
    assert!(said.contains("The condition of line 2 fails: "), "{said}");
    assert_eq!(exit_code, 1);
}

/// What stands in the blocks of a language in a text.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let code = |part: &'a str| part.split("```").next().unwrap_or_default();
    text.split(&*fence).skip(1).map(code).collect()
}

#[test]
fn the_documented_configurations_work() {
    let path = repository().join("docs/debugging.md");
    let text = std::fs::read_to_string(path).expect("the documentation is there");
    let script = blocks(&text, "lua")[0];
    let server = Server::start();
    let mut client = server.connect();
    client.run(&["SET", "alice", "100"]).expect("a reply");
    let file: Value = serde_json::from_str(blocks(&text, "json")[0]).expect("JSON");
    let launches = file["configurations"].as_array().expect("a list");
    for (launch, reply) in launches.iter().zip(["(integer) 0\n", "(integer) 70\n"]) {
        let mut launch = launch.clone();
        if !launch["server"].is_null() {
            launch["server"] = format!("127.0.0.1:{}", server.port()).into();
        }
        let mut editor = Editor::new(script);
        editor.start(launch, &[]);
        editor.event("stopped");
        editor.ask("continue", json!({ "threadId": 1 }));
        assert_eq!(editor.end(), (reply.to_owned(), json!(0)));
    }
    assert_eq!(launches.len(), 2);
}

#[test]
fn a_function_is_debugged() {
    let library = "#!lua name=lib\nredis.register_function('sum', function(keys, args)\n  \
                   local sum = args[1] + args[2]\n  return sum\nend)";
    let mut editor = Editor::new(library);
    let launch = json!({ "function": "sum", "argv": [1, 2], "stopOnEntry": false });
    editor.start(launch, &[4]);
    let (stop, _) = editor.event("stopped");
    assert_eq!(stop["reason"], "breakpoint");
    assert_eq!(editor.evaluate("sum"), "3");
    editor.ask("continue", json!({ "threadId": 1 }));
    assert_eq!(editor.end(), ("(integer) 3\n".to_owned(), json!(0)));
}

#[test]
fn a_program_that_fails_says_why() {
    let mut editor = Editor::new("local a = 1\nerror('oops')");
    editor.start(json!({ "stopOnEntry": false }), &[]);
    let (output, exit_code) = editor.end();
    assert!(output.contains("oops"), "{output}");
    assert_eq!(exit_code, 1);
    let mut editor = Editor::new("retur 1");
    editor.start(json!({}), &[]);
    let (output, exit_code) = editor.end();
    assert!(output.contains("Error compiling script"), "{output}");
    assert_eq!(exit_code, 1);
}

#[test]
fn a_program_can_be_ended() {
    let mut editor = Editor::new(SCRIPT);
    editor.start(input(), &[]);
    editor.event("stopped");
    editor.ask("terminate", json!({}));
    assert_eq!(editor.end().1, 1);
    // A program that runs for ever ends with its editor.
    let mut editor = Editor::new("while true do end");
    editor.start(json!({ "stopOnEntry": false }), &[]);
    assert!(editor.refused("stackTrace", json!({})).contains("stand still"));
    editor.ask("disconnect", json!({}));
    assert!(editor.adapter.wait().expect("it ends").success());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut editor = Editor::new(SCRIPT);
    let program = editor.program();
    editor.ask("initialize", json!({}));
    for (launch, message) in [
        (json!({}), "needs 'program'"),
        (json!({ "program": "/nowhere/x.lua" }), "Can't read"),
        (json!({ "program": program, "keys": "a" }), "list of strings"),
        (json!({ "program": program, "args": [] }), "does not know 'args'"),
        (json!({ "program": program, "mode": "sync" }), "with 'server' only"),
        (json!({ "program": program, "server": "127.0.0.1:1" }), "Can't connect"),
        (json!({ "program": program, "server": "127.0.0.1:1", "mode": "no" }), "yes or sync"),
        (json!({ "program": program, "function": "f" }), "Missing library metadata"),
    ] {
        let refused = editor.refused("launch", launch);
        assert!(refused.contains(message), "{refused}");
    }
    assert!(editor.refused("configurationDone", json!({})).contains("no program"));
    assert!(editor.refused("attach", json!({})).contains("not supported"));
    assert!(editor.refused("variables", json!({ "variablesReference": 7 })).contains("nothing"));
    editor.ask("launch", json!({ "program": program }));
    assert!(editor.refused("launch", json!({ "program": program })).contains("already"));
    let breakpoints = json!([
        { "line": 2, "hitCondition": "often" }, { "line": 3, "logMessage": "{" }, { "line": 0 },
    ]);
    let source = json!({ "path": program });
    let body =
        editor.ask("setBreakpoints", json!({ "source": source, "breakpoints": breakpoints }));
    assert!(
        body["breakpoints"].as_array().expect("a list").iter().all(|it| it["verified"] == false)
    );
    editor.ask("disconnect", json!({}));
}
