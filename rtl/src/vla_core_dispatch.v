// Everything between the program in memory and the engines: fetch, five queues, semaphores, monitor.
// Does: wire them; lane n of every five-lane port belongs to queue n (0 wload, 1 load, 2 mac, 3 vec,
// 4 store), semaphore client 5 is fetch.
// Does not: hold state of its own, except how long engines have been idle.
// Latency and handshake: those of the parts.
`default_nettype none
module vla_core_dispatch #(
  parameter ActWords    = 131072,
  parameter WeightWords = 8192,
  parameter ParamWords  = 2048,
  parameter QueueDepth  = 8
) (
  input  wire          clk_i,
  input  wire          rst_i,
  // run
  input  wire          start_i,
  input  wire [31:0]   entry_i,
  input  wire [64*`VLA_DATA_CHANNELS-1:0] data_bases_i,
  output wire          done_o,
  output wire [3:0]    status_o,
  output wire [37:0]   error_addr_o,
  output wire [31:0]   halt_code_o,
  output wire [4:0]    retired_o,  // how many packets retire in this cycle
  // read client
  output wire          ar_valid_o,
  input  wire          ar_ready_i,
  output wire [63:0]   ar_addr_o,
  output wire [7:0]    ar_len_o,
  input  wire          r_valid_i,
  output wire          r_ready_o,
  input  wire [255:0]  r_data_i,
  input  wire          r_last_i,
  input  wire          r_error_i,
  // activation memory: a read lane for the item of a SET
  output wire          item_rd_valid_o,
  output wire [$clog2(ActWords)-1:0] item_rd_addr_o,
  input  wire          item_rd_grant_i,
  input  wire          item_rd_word_i,
  input  wire [31:0]   item_rd_data_i,
  // engines
  output wire [4:0]    packet_valid_o,
  input  wire [4:0]    packet_ready_i,
  output wire [2559:0] packet_o,
  input  wire [4:0]    done_i,
  input  wire [4:0]    active_i,
  input  wire          wload_error_i,
  input  wire          load_error_i,
  input  wire          store_error_i,
  input  wire          load_index_i,   // of a GATHER: an item is no row of its table
  input  wire          store_index_i
);

  wire         stop;
  wire [4:0]   queue_stop;
  wire [4:0]   queue_valid;
  wire [4:0]   queue_ready;
  wire [511:0] queue_packet;
  wire [37:0]  queue_addr;
  wire [31:0]  queue_seq;

  wire [4:0]   head_waiting;
  wire [189:0] head_addr;
  wire [159:0] head_seq;
  wire [189:0] running_addr;
  wire [159:0] running_seq;
  wire [4:0]   queue_busy;
  wire [4:0]   queue_empty;
  // A packet that is done may still have an error or a signal on its way: those come within Linger cycles.
  localparam        Linger = 3;
  reg  [Linger-1:0] busy_q;
  wire              busy_now = queue_busy != 5'd0 || active_i != 5'd0;
  wire              busy     = busy_now || busy_q != {Linger{1'b0}};
  always @(posedge clk_i) busy_q <= rst_i ? {Linger{1'b0}} : {busy_q[Linger-2:0], busy_now};

  wire [5:0]   take_valid;
  wire [95:0]  take_mask;
  wire [5:0]   take_grant;
  wire [5:0]   signal_valid;
  wire [95:0]  signal_mask;
  wire         zero;
  wire         overflow;
  wire [2:0]   overflow_client;

  wire         stalled;
  wire         waiting;
  wire         fault;
  wire [3:0]   fault_code;
  wire         halted;
  wire [31:0]  halt_code;
  wire         retire;
  wire [4:0]   errors = {store_error_i || store_index_i, 2'b00, load_error_i || load_index_i, wload_error_i};

  vla_fetch #(
    .ActWords   (ActWords),
    .WeightWords(WeightWords),
    .ParamWords (ParamWords)
  ) u_fetch (
    .clk_i         (clk_i),
    .rst_i         (rst_i),
    .start_i       (start_i),
    .entry_i       (entry_i),
    .stop_i        (stop),
    .data_bases_i  (data_bases_i),
    .ar_valid_o    (ar_valid_o),
    .ar_ready_i    (ar_ready_i),
    .ar_addr_o     (ar_addr_o),
    .ar_len_o      (ar_len_o),
    .r_valid_i     (r_valid_i),
    .r_ready_o     (r_ready_o),
    .r_data_i      (r_data_i),
    .r_last_i      (r_last_i),
    .r_error_i     (r_error_i),
    .queue_valid_o (queue_valid),
    .queue_ready_i (queue_ready),
    .queue_packet_o(queue_packet),
    .queue_addr_o  (queue_addr),
    .queue_seq_o   (queue_seq),
    .take_valid_o  (take_valid[5]),
    .take_mask_o   (take_mask[95:80]),
    .take_grant_i  (take_grant[5]),
    .signal_valid_o(signal_valid[5]),
    .signal_mask_o (signal_mask[95:80]),
    .item_rd_valid_o(item_rd_valid_o),
    .item_rd_addr_o(item_rd_addr_o),
    .item_rd_grant_i(item_rd_grant_i),
    .item_rd_word_i(item_rd_word_i),
    .item_rd_data_i(item_rd_data_i),
    .drained_i     (!busy && queue_empty == 5'h1F),
    .stalled_o     (stalled),
    .waiting_o     (waiting),
    .fault_o       (fault),
    .fault_code_o  (fault_code),
    .halted_o      (halted),
    .halt_code_o   (halt_code),
    .retire_o      (retire)
  );

  genvar n;
  generate
    for (n = 0; n < 5; n = n + 1) begin : g_queue
      vla_queue #(
        .Depth(QueueDepth)
      ) u_queue (
        .clk_i         (clk_i),
        .rst_i         (rst_i),
        .flush_i       (start_i),
        .stop_i        (queue_stop[n]),
        .in_valid_i    (queue_valid[n]),
        .in_ready_o    (queue_ready[n]),
        .in_packet_i   (queue_packet),
        .in_addr_i     (queue_addr),
        .in_seq_i      (queue_seq),
        .take_valid_o  (take_valid[n]),
        .take_mask_o   (take_mask[16*n +: 16]),
        .take_grant_i  (take_grant[n]),
        .signal_valid_o(signal_valid[n]),
        .signal_mask_o (signal_mask[16*n +: 16]),
        .packet_valid_o(packet_valid_o[n]),
        .packet_ready_i(packet_ready_i[n]),
        .packet_o      (packet_o[512*n +: 512]),
        .done_i        (done_i[n]),
        .error_i       (errors[n]),
        .head_waiting_o(head_waiting[n]),
        .head_addr_o   (head_addr[38*n +: 38]),
        .head_seq_o    (head_seq[32*n +: 32]),
        .running_addr_o(running_addr[38*n +: 38]),
        .running_seq_o (running_seq[32*n +: 32]),
        .busy_o        (queue_busy[n]),
        .empty_o       (queue_empty[n])
      );
    end
  endgenerate

  vla_semaphores #(
    .Clients(6)
  ) u_semaphores (
    .clk_i            (clk_i),
    .rst_i            (rst_i),
    .clear_i          (start_i),
    .take_valid_i     (take_valid),
    .take_mask_i      (take_mask),
    .take_grant_o     (take_grant),
    .signal_valid_i   (signal_valid),
    .signal_mask_i    (signal_mask),
    .zero_o           (zero),
    .overflow_o       (overflow),
    .overflow_client_o(overflow_client)
  );

  vla_core_monitor #(
    .QuietCycles(64)
  ) u_monitor (
    .clk_i             (clk_i),
    .rst_i             (rst_i),
    .start_i           (start_i),
    .stop_o            (stop),
    .queue_stop_o      (queue_stop),
    .done_o            (done_o),
    .status_o          (status_o),
    .error_addr_o      (error_addr_o),
    .halt_code_o       (halt_code_o),
    .fetch_stalled_i   (stalled),
    .fetch_waiting_i   (waiting),
    .fetch_fault_i     (fault),
    .fetch_fault_code_i(fault_code),
    .fetch_halted_i    (halted),
    .fetch_halt_code_i (halt_code),
    .fetch_addr_i      (queue_addr),
    .fetch_seq_i       (queue_seq),
    .head_waiting_i    (head_waiting),
    .head_addr_i       (head_addr),
    .head_seq_i        (head_seq),
    .running_addr_i    (running_addr),
    .running_seq_i     (running_seq),
    .busy_i            (busy),
    .zero_i            (zero),
    .overflow_i        (overflow),
    .overflow_client_i (overflow_client),
    .wload_error_i     (errors[0]),
    .load_error_i      (errors[1]),
    .store_error_i     (errors[4]),
    .load_index_i      (load_index_i),
    .store_index_i     (store_index_i)
  );

  assign retired_o = {4'd0, retire} + {4'd0, signal_valid[0]} + {4'd0, signal_valid[1]}
                     + {4'd0, signal_valid[2]} + {4'd0, signal_valid[3]} + {4'd0, signal_valid[4]};

endmodule
`default_nettype wire
