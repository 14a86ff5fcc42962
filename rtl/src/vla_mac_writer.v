// The write lanes of the MAC engine, one for each pixel of a group.
// Does: join results, or the maxima of pixels as items of 16 bytes, with their addresses, in order, and write a group of
// words per cycle.
// Does not: refuse anything. Whoever writes into its queues keeps at most Depth groups on the way.
// Latency: result in -> request 2 cycles.
// Handshake: freed_o when a group leaves the queues; done_o when the last group of a packet is written.
`default_nettype none
module vla_mac_writer #(
  parameter Block = 16,
  parameter ActAw = 17,
  parameter Group = 2,   // pixels of a group
  parameter Depth = 32
) (
  input  wire                clk_i,
  input  wire                rst_i,
  input  wire                target_valid_i,
  input  wire [1:0]          target_kind_i,   // 0, 1: words of results; 2, 3: the words of an item
  input  wire [Group-1:0]    target_live_i,
  input  wire                target_last_i,
  input  wire [Group*ActAw-1:0]  target_addr_i,
  input  wire                result_valid_i,
  input  wire [Group*8*Block-1:0] result_i,
  input  wire                maxima_valid_i,
  input  wire [16*Group-1:0] maxima_i,
  output wire [Group-1:0]          wr_valid_o,
  output wire [Group*ActAw-1:0]  wr_addr_o,
  output wire [Group*8*Block-1:0] wr_data_o,
  input  wire [Group-1:0]          wr_grant_i,
  output wire                freed_o,
  output wire                done_o
);

  wire unused_target_ready, unused_result_ready, unused_maxima_ready;
  wire                target_valid, maxima_valid;
  wire [1:0]          kind;
  wire [16*Group-1:0] maxima;
  wire                result_valid, last;
  wire [Group-1:0]    live;
  wire [Group*ActAw-1:0]  addr;
  wire [Group*8*Block-1:0] results, words;

  vla_fifo #(.Width(Group*ActAw + Group + 3), .Depth(Depth)) u_targets (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(target_valid_i), .in_ready_o(unused_target_ready),
    .in_data_i({target_kind_i, target_live_i, target_last_i, target_addr_i}),
    .out_valid_o(target_valid), .out_ready_i(freed_o), .out_data_o({kind, live, last, addr})
  );

  vla_fifo #(.Width(Group*8*Block), .Depth(Depth)) u_results (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(result_valid_i), .in_ready_o(unused_result_ready), .in_data_i(result_i),
    .out_valid_o(result_valid), .out_ready_i(freed_o && !kind[1]), .out_data_o(results)
  );

  vla_fifo #(.Width(16*Group), .Depth(Depth)) u_maxima (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(maxima_valid_i), .in_ready_o(unused_maxima_ready), .in_data_i(maxima_i),
    .out_valid_o(maxima_valid), .out_ready_i(freed_o && kind == 2'd2), .out_data_o(maxima)
  );

  // An item is a number of 8 bytes and 8 bytes of 0: one word, or two.
  genvar l;
  generate
    for (l = 0; l < Group; l = l + 1) begin : g_lane
      wire [63:0]        number = {{48{maxima[16*l + 15]}}, maxima[16*l +: 16]};
      wire [8*Block-1:0] item;
      if (Block == 8) begin : g_halves
        assign item = kind[0] ? 64'd0 : number;
      end else begin : g_whole
        assign item = {{(8*Block - 64){1'b0}}, number};
      end
      assign words[8*Block*l +: 8*Block] = kind[1] ? item : results[8*Block*l +: 8*Block];
    end
  endgenerate

  // The group at the lanes; the packet is written when the last one is.
  wire lanes_ready, idle;
  reg  ending_q;
  wire there = target_valid && (kind == 2'd2 ? maxima_valid : kind == 2'd3 || result_valid);
  assign freed_o = there && lanes_ready;
  assign done_o  = ending_q && idle;
  always @(posedge clk_i) begin
    if (rst_i || done_o) ending_q <= 1'b0;
    else if (freed_o && last) ending_q <= 1'b1;
  end

  vla_write_lanes #(.Block(Block), .ActAw(ActAw), .Lanes(Group)) u_lanes (
    .clk_i(clk_i), .rst_i(rst_i),
    .group_valid_i(there), .group_ready_o(lanes_ready), .group_lanes_i(live),
    .group_addr_i(addr), .group_data_i(words), .idle_o(idle),
    .wr_valid_o(wr_valid_o), .wr_addr_o(wr_addr_o), .wr_data_o(wr_data_o), .wr_grant_i(wr_grant_i)
  );

endmodule
`default_nettype wire
