// The vector engine: two engines behind one queue. `vla_tensor_engine` runs POOL and VEC, `vla_row_engine` ROW, REDUCE
// and RECIP.
// Does: give each packet to its engine; packets start in order, one after the end of its predecessor; share the read and
// write lanes and the parameter memory, which only the engine that runs uses.
// Does not: check packets or semaphores, or compute.
// Latency: that of the engines. A packet waits in its engine's shadow while the other engine runs, and no third is
// taken then.
// Handshakes: see rtl/README.md.
`include "vla_isa.vh"
`default_nettype none
module vla_vector_engine #(
  parameter Block      = 16,      // channels of a word: 8 or 16
  parameter ActWords   = 131072,  // words of the activation scratchpad
  parameter ParamWords = 2048     // words of the parameter memory
) (
  input  wire                            clk_i,
  input  wire                            rst_i,
  // packets
  input  wire                            packet_valid_i,
  output wire                            packet_ready_o,
  input  wire [511:0]                    packet_i,
  output wire                            done_o,
  output wire                            active_o,
  // activation scratchpad: 4 read lanes, 2 write lanes
  output wire [3:0]                      rd_valid_o,
  output wire [4*$clog2(ActWords)-1:0]   rd_addr_o,
  input  wire [3:0]                      rd_grant_i,
  input  wire [3:0]                      rd_word_i,
  input  wire [4*8*Block-1:0]            rd_data_i,
  output wire [1:0]                      wr_valid_o,
  output wire [2*$clog2(ActWords)-1:0]   wr_addr_o,
  output wire [2*8*Block-1:0]            wr_data_o,
  input  wire [1:0]                      wr_grant_i,
  // parameter memory
  output wire                            param_rd_valid_o,
  output wire [$clog2(ParamWords)-1:0]   param_rd_addr_o,
  input  wire                            param_rd_grant_i,
  input  wire [64*Block-1:0]             param_rd_data_i
);

  localparam Aw      = $clog2(ActWords);
  localparam ParamAw = $clog2(ParamWords);

  // ---- whose packet ----
  wire       for_rows = packet_i[`VLA_PACKET_OPCODE] == `VLA_OP_ROW || packet_i[`VLA_PACKET_OPCODE] == `VLA_OP_REDUCE
                        || packet_i[`VLA_PACKET_OPCODE] == `VLA_OP_RECIP;
  wire [1:0] ready, active, done;  // bit 0: tensors, bit 1: rows
  wire       both  = &active;
  wire       valid = packet_valid_i && !both;
  reg        rows_wait_q;          // while both are active: the packet of rows is the younger one
  wire [1:0] hold  = {active[0] && rows_wait_q, active[1] && !rows_wait_q};

  assign packet_ready_o = !both && (for_rows ? ready[1] : ready[0]);
  assign active_o       = |active;
  assign done_o         = |done;

  always @(posedge clk_i) begin
    if (rst_i) rows_wait_q <= 1'b0;
    else if (packet_valid_i && packet_ready_o) rows_wait_q <= for_rows;
  end

  wire [7:0]         rd_valid;
  wire [8*Aw-1:0]    rd_addr;
  wire [3:0]         wr_valid;
  wire [4*Aw-1:0]    wr_addr;
  wire [32*Block-1:0] wr_data;
  wire [1:0]         param_valid;
  wire [2*ParamAw-1:0] param_addr;
  reg                rows_q;       // who runs

  always @(posedge clk_i) begin
    if (rst_i) rows_q <= 1'b0;
    else if (!both) rows_q <= active[1];
  end

  vla_tensor_engine #(.Block(Block), .ActWords(ActWords), .ParamWords(ParamWords)) u_tensors (
    .clk_i(clk_i), .rst_i(rst_i),
    .packet_valid_i(valid && !for_rows), .packet_ready_o(ready[0]), .packet_i(packet_i), .hold_i(hold[0]),
    .done_o(done[0]), .active_o(active[0]),
    .rd_valid_o(rd_valid[3:0]), .rd_addr_o(rd_addr[0 +: 4*Aw]), .rd_grant_i(rd_grant_i & {4{!rows_q}}),
    .rd_word_i(rd_word_i & {4{!rows_q}}), .rd_data_i(rd_data_i),
    .wr_valid_o(wr_valid[1:0]), .wr_addr_o(wr_addr[0 +: 2*Aw]), .wr_data_o(wr_data[0 +: 16*Block]),
    .wr_grant_i(wr_grant_i & {2{!rows_q}}),
    .param_rd_valid_o(param_valid[0]), .param_rd_addr_o(param_addr[0 +: ParamAw]),
    .param_rd_grant_i(param_rd_grant_i && !rows_q), .param_rd_data_i(param_rd_data_i)
  );
  vla_row_engine #(.Block(Block), .ActWords(ActWords), .ParamWords(ParamWords)) u_rows (
    .clk_i(clk_i), .rst_i(rst_i),
    .packet_valid_i(valid && for_rows), .packet_ready_o(ready[1]), .packet_i(packet_i), .hold_i(hold[1]),
    .done_o(done[1]), .active_o(active[1]),
    .rd_valid_o(rd_valid[7:4]), .rd_addr_o(rd_addr[4*Aw +: 4*Aw]), .rd_grant_i(rd_grant_i & {4{rows_q}}),
    .rd_word_i(rd_word_i & {4{rows_q}}), .rd_data_i(rd_data_i),
    .wr_valid_o(wr_valid[3:2]), .wr_addr_o(wr_addr[2*Aw +: 2*Aw]), .wr_data_o(wr_data[16*Block +: 16*Block]),
    .wr_grant_i(wr_grant_i & {2{rows_q}}),
    .param_rd_valid_o(param_valid[1]), .param_rd_addr_o(param_addr[ParamAw +: ParamAw]),
    .param_rd_grant_i(param_rd_grant_i && rows_q), .param_rd_data_i(param_rd_data_i)
  );

  assign rd_valid_o       = rows_q ? rd_valid[7:4] : rd_valid[3:0];
  assign rd_addr_o        = rows_q ? rd_addr[4*Aw +: 4*Aw] : rd_addr[0 +: 4*Aw];
  assign wr_valid_o       = rows_q ? wr_valid[3:2] : wr_valid[1:0];
  assign wr_addr_o        = rows_q ? wr_addr[2*Aw +: 2*Aw] : wr_addr[0 +: 2*Aw];
  assign wr_data_o        = rows_q ? wr_data[16*Block +: 16*Block] : wr_data[0 +: 16*Block];
  assign param_rd_valid_o = rows_q ? param_valid[1] : param_valid[0];
  assign param_rd_addr_o  = rows_q ? param_addr[ParamAw +: ParamAw] : param_addr[0 +: ParamAw];

endmodule
`default_nettype wire
